# SPDX-License-Identifier: MIT
"""vpoll by ctypes, Python's event loops, and a scene in which one of them is used.

The library is libvpoll.so.0, or what the environment variable VPOLL_LIBRARY names.
"""

import asyncio
import ctypes
import os
import select
import selectors
import time

IN, OUT, PRI = select.EPOLLIN, select.EPOLLOUT, select.EPOLLPRI
RDHUP, HUP, ERR = select.EPOLLRDHUP, select.EPOLLHUP, select.EPOLLERR
NAMES = {IN: "IN", OUT: "OUT", PRI: "PRI", RDHUP: "RDHUP", HUP: "HUP", ERR: "ERR"}
LIMIT_MS = 10000  # reached only by a test that fails

lib = ctypes.CDLL(os.environ.get("VPOLL_LIBRARY", "libvpoll.so.0"), use_errno=True)
lib.vpoll_create.argtypes = (ctypes.c_uint32, ctypes.c_int)
lib.vpoll_ctl.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_uint32)
lib.vpoll_error.restype = ctypes.c_char_p
ADD, DELETE = 1, 2


class NotOk(Exception):
    """A scenario saw what it must not see."""


class Skip(Exception):
    """A scenario cannot run here."""


def check(held, why):
    if not held:
        raise NotOk(why)


def checked(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)} {lib.vpoll_error().decode()}")
    return result


def names_of(events):
    return "+".join(name for bit, name in NAMES.items() if events & bit) or "nothing"


class Watch:
    """What a loop is asked for of one fd, and what it has reported of it."""

    def __init__(self, fd, events):
        self.fd, self.events = fd, events
        self.active, self.seen, self.times, self.act = True, 0, 0, None

    def report(self, events):
        self.seen |= events
        self.times += 1
        if self.act:
            self.act(self)


class SelectorLoop:
    """selectors: `mask` says readable and writable, no more."""

    def __init__(self, kind):
        self.selector, self.timers = kind(), []

    def close(self):
        self.selector.close()

    def add(self, watch):
        self.selector.register(watch.fd, self.mask(watch.events), watch)

    def change(self, watch):
        self.selector.modify(watch.fd, self.mask(watch.events), watch)

    def remove(self, watch):
        self.selector.unregister(watch.fd)

    def timer(self, watch, seconds):
        self.timers.append((time.monotonic() + seconds, watch))

    def turn(self, milliseconds):
        timeout = milliseconds / 1000
        for when, _ in self.timers:
            timeout = min(timeout, max(0, when - time.monotonic()))
        for key, mask in self.selector.select(timeout):
            if key.data.active:  # else an earlier callback removed it
                key.data.report(self.events(mask))
        over = [timer for timer in self.timers if timer[0] <= time.monotonic()]
        for timer in over:
            self.timers.remove(timer)
            timer[1].report(IN)

    @staticmethod
    def mask(events):
        read = selectors.EVENT_READ if events & IN else 0
        return read | (selectors.EVENT_WRITE if events & OUT else 0)

    @staticmethod
    def events(mask):
        return (IN if mask & selectors.EVENT_READ else 0) | (
            OUT if mask & selectors.EVENT_WRITE else 0
        )


class AsyncioLoop:
    """asyncio: add_reader and add_writer on the loop that programs get."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()

    def close(self):
        self.loop.close()

    def add(self, watch):
        if watch.events & IN:
            self.loop.add_reader(watch.fd, self.found, watch, IN)
        if watch.events & OUT:
            self.loop.add_writer(watch.fd, self.found, watch, OUT)

    def remove(self, watch):
        self.loop.remove_reader(watch.fd)
        self.loop.remove_writer(watch.fd)

    def change(self, watch):
        self.remove(watch)
        self.add(watch)

    def timer(self, watch, seconds):
        self.loop.call_later(seconds, self.found, watch, IN)

    def found(self, watch, event):
        self.loop.stop()  # behind this turn
        watch.report(event)

    def turn(self, milliseconds):
        if milliseconds == 0:
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            return
        limit = self.loop.call_later(milliseconds / 1000, self.loop.stop)
        self.loop.run_forever()
        limit.cancel()


def all_but(shown, asked):
    """epoll's and poll's selector: whatever is not OUT is readable, whatever is not IN writable."""
    seen = shown & (asked | HUP | ERR)
    return asked & ((IN if seen & ~OUT else 0) | (OUT if seen & ~IN else 0))


def sets(shown, asked):
    """select(2)'s sets."""
    readable = IN if shown & (IN | HUP | ERR) else 0
    return asked & (readable | (OUT if shown & (OUT | ERR) else 0))


LOOPS = (
    ("selectors.SelectSelector", lambda: SelectorLoop(selectors.SelectSelector), sets),
    ("selectors.PollSelector", lambda: SelectorLoop(selectors.PollSelector), all_but),
    ("selectors.EpollSelector", lambda: SelectorLoop(selectors.EpollSelector), all_but),
    ("asyncio", AsyncioLoop, all_but),
)


class Scene:
    """One loop for one scenario; closes what the scenario made."""

    def __init__(self, make, reports):
        self.loop, self.reports = make(), reports
        self.watches, self.vpolls, self.files = [], [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for watch in self.watches:
            if watch.active:
                self.unwatch(watch)
        self.loop.close()
        for fd in self.vpolls:
            checked(lib.vpoll_close(fd))
        for fd in self.files:
            os.close(fd)

    def vpoll(self, events=0):
        self.vpolls.append(checked(lib.vpoll_create(events, 0)))
        return self.vpolls[-1]

    def watch(self, fd, events):
        self.watches.append(Watch(fd, events))
        self.loop.add(self.watches[-1])
        return self.watches[-1]

    def unwatch(self, watch):
        watch.active = False
        self.loop.remove(watch)

    def change(self, watch, events):
        watch.events = events
        self.loop.change(watch)

    def until(self, watch, times=1):
        end = time.monotonic() + LIMIT_MS / 1000
        while watch.times < times:
            left = end - time.monotonic()
            check(left > 0, f"the loop slept on: {watch.times} reports of {times}")
            self.loop.turn(int(left * 1000) + 1)

    def turns(self):
        for milliseconds in (0, 5, 0):
            self.loop.turn(milliseconds)

    def forget(self):
        for watch in self.watches:
            watch.seen = watch.times = 0


def put(fd, events):
    checked(lib.vpoll_ctl(fd, ADD, events))


def take_back(fd, events):
    checked(lib.vpoll_ctl(fd, DELETE, events))


def expect(watch, seen, times=1):
    check(
        (watch.seen, watch.times) == (seen, times),
        f"reported {watch.times} times with {names_of(watch.seen)}, "
        f"expected {times} with {names_of(seen)}",
    )
