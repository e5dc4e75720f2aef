/* SPDX-License-Identifier: MIT */
/*
 * What the scenarios are written with: descriptors and watches that are cleaned up behind each
 * scenario, and turns of the loop with a limit.
 */
#ifndef LOOPS_HARNESS_H
#define LOOPS_HARNESS_H

#include "loop.h"

enum verdict { passed, failed, skipped };

/* Keeps the words for main and returns the verdict. */
enum verdict fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
enum verdict skip(const char* format, ...) __attribute__((format(printf, 1, 2)));
const char* reason(void);

/* The names of events, with '+' between: "IN+OUT"; "nothing" for 0. Four results are kept. */
const char* names_of(uint32_t events);

extern const struct loop* the_loop;

const char* scene_open(const struct loop* loop); /* NULL, or why the loop cannot be had */
void scene_close(void);

/* Each of these ends the program with a message if the system refuses. */
int vpoll_fd(uint32_t events);
int keep_fd(int fd);    /* closed behind the scenario */
void vpoll_end(int fd); /* vpoll_close now */
void set(int fd, uint32_t events);
void take_back(int fd, uint32_t events);
struct watch* watch_mode(int fd, uint32_t events, enum mode mode);
struct watch* watch(int fd, uint32_t events); /* in the loop's usual mode */
struct watch* timer(int milliseconds);
void change(struct watch* watch, uint32_t events);
void unwatch(struct watch* watch);

void forget(void);                    /* what was reported so far */
bool until(struct watch*, int times); /* turns until so many reports; false after the limit */
bool until_any(void);                 /* until anything is reported since the last forget() */
void quieten(void); /* forget(), and what the loop has found but not yet reported */
void turns(void);   /* a few, in which nothing is expected */

#endif
