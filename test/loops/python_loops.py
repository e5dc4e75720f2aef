#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""python_loops.py [--table]: vpoll fds in Python's selectors and in asyncio.

The scenarios, the lines and the table are those of main.c.
"""

import errno
import os
import sys
import threading
import time

from python_harness import (
    ERR, HUP, IN, LIMIT_MS, LOOPS, NAMES, OUT, PRI, RDHUP,
    NotOk, Scene, Skip, Watch, check, expect, lib, names_of, put, take_back,
)


def readable_before(scene):
    it = scene.watch(scene.vpoll(IN), IN)
    scene.until(it)
    expect(it, IN)


def main_sleeps():
    with open("/proc/self/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "S"


def woken_by_thread(scene):
    it = scene.watch(scene.vpoll(), IN)
    scene.turns()

    def set_while_asleep():
        end = time.monotonic() + LIMIT_MS / 1000
        while not main_sleeps() and time.monotonic() < end:
            time.sleep(0.001)
        put(it.fd, IN)

    thread = threading.Thread(target=set_while_asleep)
    thread.start()
    try:
        scene.until(it)
    finally:
        thread.join()
    check(it.seen == IN, names_of(it.seen))


def no_lost_wakeup(scene):
    rounds = 200
    it = scene.watch(scene.vpoll(), IN)
    taken = threading.Semaphore(0)

    def set_in_turn():
        for _ in range(rounds):
            put(it.fd, IN)
            taken.acquire()

    def take_in_turn(watch):
        take_back(watch.fd, IN)
        taken.release()

    it.act = take_in_turn
    thread = threading.Thread(target=set_in_turn)
    thread.start()
    try:
        scene.until(it, rounds)
    finally:
        taken.release(rounds)
        thread.join()
    expect(it, IN, rounds)


def taken_back_before(scene):
    it = scene.watch(scene.vpoll(), IN)
    scene.turns()
    put(it.fd, IN)
    take_back(it.fd, IN)
    scene.turns()
    expect(it, 0, 0)


def writable_alone(scene):
    it = scene.watch(scene.vpoll(), IN | OUT)
    scene.turns()
    expect(it, 0, 0)
    put(it.fd, OUT)
    scene.until(it)
    expect(it, OUT)


def both_together(scene):
    it = scene.watch(scene.vpoll(IN | OUT), IN | OUT)
    scene.until(it)
    check(it.seen == IN | OUT, names_of(it.seen))
    take_back(it.fd, IN)
    scene.forget()
    scene.change(it, IN)
    scene.turns()
    expect(it, 0, 0)


def changed_interest(scene):
    it = scene.watch(scene.vpoll(OUT), IN)
    scene.turns()
    expect(it, 0, 0)
    scene.change(it, OUT)
    scene.until(it)
    expect(it, OUT)


def hang_up_with_data(scene):
    fd = scene.vpoll(IN)
    exact = lib.vpoll_exact(fd) & HUP
    put(fd, HUP)
    expected = scene.reports(IN | HUP | (0 if exact else RDHUP), IN | OUT)
    it = scene.watch(fd, IN | OUT)
    scene.until(it)
    check(it.seen == expected, f"{names_of(it.seen)}, expected {names_of(expected)}")


def seven_of_many(scene):
    every = [scene.watch(scene.vpoll(), IN) for _ in range(100)]
    ready = [every[i] for i in (0, 1, 13, 50, 51, 77, 99)]
    scene.turns()
    for it in ready:
        put(it.fd, IN)
    for it in ready:
        scene.until(it)
    check([it for it in every if it.times] == ready, "others were reported too")
    check(all(it.seen == IN for it in ready), "not IN alone")
    for it in ready:
        take_back(it.fd, IN)
    scene.forget()
    scene.turns()
    check(not any(it.times for it in every), "reported after it was taken back")


def beside_others(scene):
    order = []
    scene.files += os.pipe()
    read_end, write_end = scene.files

    def timer_is_over(_):
        order.append("timer")
        os.write(write_end, b"x")

    def pipe_is_readable(_):
        os.read(read_end, 1)
        order.append("pipe")
        put(vpoll.fd, IN)

    def vpoll_is_readable(watch):
        order.append("vpoll")
        take_back(watch.fd, IN)

    vpoll = scene.watch(scene.vpoll(), IN)
    vpoll.act = vpoll_is_readable
    scene.watch(read_end, IN).act = pipe_is_readable
    timer = Watch(-1, IN)
    timer.act = timer_is_over
    scene.loop.timer(timer, 0.001)
    scene.until(vpoll)
    scene.turns()
    check(order == ["timer", "pipe", "vpoll"], f"the order was {order}")


def set_in_callback(scene):
    first, second = scene.watch(scene.vpoll(IN), IN), scene.watch(scene.vpoll(), IN)

    def hand_over(watch):
        take_back(watch.fd, IN)
        put(second.fd, IN)

    first.act = hand_over
    second.act = lambda watch: take_back(watch.fd, IN)
    scene.until(second)
    scene.turns()
    expect(first, IN)
    expect(second, IN)


def removed_in_callback(scene):
    it = scene.watch(scene.vpoll(IN), IN)
    it.act = scene.unwatch
    scene.until(it)
    scene.turns()
    expect(it, IN)
    again = scene.watch(it.fd, IN)
    scene.until(again)
    expect(again, IN)


def removed_by_another(scene):
    rivals = [scene.watch(scene.vpoll(), IN) for _ in range(2)]
    scene.turns()

    def remove_the_other(watch):
        other = rivals[watch is rivals[0]]
        if other.active:
            scene.unwatch(other)

    for it in rivals:
        it.act = remove_the_other
        put(it.fd, IN)
    scene.turns()
    check(sorted(it.times > 0 for it in rivals) == [False, True], "not one alone was reported")


def removed_while_ready(scene):
    it, other = scene.watch(scene.vpoll(), IN), scene.watch(scene.vpoll(), IN)
    scene.turns()
    put(it.fd, IN)
    scene.unwatch(it)
    put(other.fd, IN)
    scene.until(other)
    expect(it, 0, 0)


def again_until_taken_back(scene):
    it = scene.watch(scene.vpoll(IN), IN)
    scene.until(it, 3)
    take_back(it.fd, IN)
    scene.forget()
    scene.turns()
    expect(it, 0, 0)


SCENARIOS = (
    ("readable before the wait is reported", readable_before),
    ("readable while the loop sleeps, set by another thread, wakes it", woken_by_thread),
    ("no wakeup is lost while a thread sets what the loop takes back", no_lost_wakeup),
    ("taken back before the wait it is not reported, unless the loop completes at once",
     taken_back_before),
    ("writable alone is reported as writable alone", writable_alone),
    ("readable and writable are reported together", both_together),
    ("events asked for later are reported from then on", changed_interest),
    ("a hang-up with data left is reported with the data", hang_up_with_data),
    ("seven of a hundred are reported, and no other", seven_of_many),
    ("a vpoll fd, a pipe and a timer share the loop", beside_others),
    ("an event set in a callback is reported in a later turn", set_in_callback),
    ("removed in its own callback it is reported no more", removed_in_callback),
    ("removed by another's callback in the same turn it is reported no more",
     removed_by_another),
    ("removed while ready it is reported no more", removed_while_ready),
    ("reported again until taken back", again_until_taken_back),
)

# What a socket pair shows beside the event (vpoll/README.md); an exact back end shows no more.
BESIDE = {PRI: IN, RDHUP: IN, HUP: RDHUP | IN, ERR: HUP | RDHUP | IN | OUT}


def one_event(scene, event, asked):
    """`event` alone is set; what is seen of it."""
    fd = scene.vpoll()
    beside = 0 if lib.vpoll_exact(fd) & event else BESIDE.get(event, 0)
    expected = scene.reports(event | beside, asked)
    try:
        put(fd, event)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        raise Skip(f"the back end cannot show {names_of(event)} here") from error
    it = scene.watch(fd, asked)
    if expected:
        scene.until(it)
    else:
        scene.turns()
    check(it.seen == expected, f"{names_of(it.seen)}, expected {names_of(expected)}")
    return it.seen


def attempt(loop, run, *arguments):
    """Runs a scenario in a loop of its own; returns 'ok', 'not ok' or 'skip', and the rest."""
    try:
        with Scene(*loop[1:]) as scene:
            return "ok", run(scene, *arguments)
    except Skip as why:
        return "skip", str(why)
    except (NotOk, OSError) as why:
        return "not ok", str(why)


def run_all(loop):
    for sentence, run in SCENARIOS:
        yield sentence, *attempt(loop, run)
    for words, asked in (("all events asked for", IN | OUT), ("readable asked for", IN)):
        for event, name in NAMES.items():
            yield f"{name} alone, {words}", *attempt(loop, one_event, event, asked)


def run_table(loop):
    for event, name in NAMES.items():
        verdict, seen = attempt(loop, one_event, event, IN | OUT)
        if verdict == "ok":
            seen = "exact" if seen == event else names_of(seen) if seen else "not offered"
        yield name, seen
    for column, run, finding in (
        ("level", again_until_taken_back, "yes"),
        ("from another thread", woken_by_thread, "yes"),
        ("taken back", taken_back_before, "not reported"),
    ):
        verdict, why = attempt(loop, run)
        yield column, finding if verdict == "ok" else why
    yield "edge", "not offered"
    yield "one-shot", "not offered"


def main(arguments):
    any_failed = False
    for loop in LOOPS:
        if arguments == ["--table"]:
            for column, finding in run_table(loop):
                print(loop[0], column, finding, sep="\t")
            continue
        for sentence, verdict, why in run_all(loop):
            any_failed = any_failed or verdict == "not ok"
            print(f"{verdict} {loop[0]}: {sentence}{'' if verdict == 'ok' else f': {why}'}")
    return 1 if any_failed else 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--table"]):
        sys.exit(f"usage: {sys.argv[0]} [--table]")
    sys.exit(main(sys.argv[1:]))
