/* SPDX-License-Identifier: MIT */
/*
 * loops_NAME [--table]: runs each scenario in each loop of this program, a line for each:
 *
 *     ok LOOP: sentence
 *     not ok LOOP: sentence: what was seen
 *     skip LOOP: sentence: why
 *
 * --table prints what was seen instead, as LOOP, column and finding with tabs between.
 */
#include "scenarios.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool any_failed;

static void print(const char* sentence, enum verdict verdict) {
  static const char* const heads[] = {"ok", "not ok", "skip"};
  printf("%s %s: %s%s%s\n", heads[verdict], the_loop->name, sentence, verdict == passed ? "" : ": ",
         verdict == passed ? "" : reason());
  if (verdict == failed) any_failed = true;
}

static bool opened(const struct loop* loop) {
  const char* why = scene_open(loop);
  if (why == NULL) return true;
  printf("skip %s: the loop: %s\n", loop->name, why);
  return false;
}

static void run_events(const struct loop* loop, uint32_t asked, const char* words) {
  for (size_t i = 0; i < 6; i++) {
    char sentence[128];
    uint32_t seen;
    if (!opened(loop)) return;
    snprintf(sentence, sizeof sentence, "%s alone, %s", names_of(single_events[i]), words);
    print(sentence, one_event(single_events[i], asked, &seen));
    scene_close();
  }
}

static void run_all(const struct loop* loop) {
  for (size_t i = 0; i < scenario_count; i++) {
    if (scenarios[i].applies != NULL && !scenarios[i].applies(loop)) continue;
    if (!opened(loop)) return;
    print(scenarios[i].sentence, scenarios[i].run());
    scene_close();
  }
  run_events(loop, loop->offers, "all events asked for");
  run_events(loop, EPOLLIN, "readable asked for");
}

static void tell(const struct loop* loop, const char* column, const char* finding) {
  printf("%s\t%s\t%s\n", loop->name, column, finding);
}

static void run_named(const struct loop* loop, const char* column, enum verdict (*run)(void),
                      const char* if_passed) {
  if (!opened(loop)) return;
  tell(loop, column, run() == passed ? if_passed : reason());
  scene_close();
}

static void run_table(const struct loop* loop) {
  for (size_t i = 0; i < 6; i++) {
    uint32_t event = single_events[i];
    uint32_t seen;
    if (!opened(loop)) return;
    enum verdict verdict = one_event(event, loop->offers, &seen);
    const char* finding = names_of(seen);
    if (verdict == skipped)
      finding = reason();
    else if (seen == event)
      finding = "exact";
    else if (seen == 0)
      finding = (loop->offers & event) != 0 ? "nothing" : "not offered";
    tell(loop, names_of(event), finding);
    scene_close();
  }
  tell(loop, "level", loop->usual == level ? "yes" : "not offered");
  for (size_t i = 0; i < scenario_count; i++) {
    static const struct {
      const char *sentence, *column, *finding;
    } columns[] = {
        {"an edge", "edge", "yes"},
        {"one shot", "one-shot", "yes"},
        {"readable while the loop sleeps", "from another thread", "yes"},
        {"taken back before", "taken back", NULL},
    };
    const char* at_once = loop->completes ? "may be reported" : "not reported";
    for (size_t j = 0; j < sizeof columns / sizeof columns[0]; j++) {
      if (strncmp(scenarios[i].sentence, columns[j].sentence, strlen(columns[j].sentence)) != 0)
        continue;
      if (scenarios[i].applies != NULL && !scenarios[i].applies(loop))
        tell(loop, columns[j].column, "not offered");
      else
        run_named(loop, columns[j].column, scenarios[i].run,
                  columns[j].finding != NULL ? columns[j].finding : at_once);
    }
  }
}

int main(int count, char** arguments) {
  bool table = count == 2 && strcmp(arguments[1], "--table") == 0;
  if (count > 1 && !table) {
    fprintf(stderr, "usage: %s [--table]\n", arguments[0]);
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < tested_loop_count; i++) (table ? run_table : run_all)(&tested_loops[i]);
  return any_failed ? 1 : 0;
}
