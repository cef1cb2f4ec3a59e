"""The loader processes, as their owner sees them: started once, warm between loads, gone with it.

    notebook's process                                  loader process (one of N)
    ┌──────────────────────────┐      two pipes       ┌────────────────────────────┐
    │ run(tasks) ── tasks ─────┼────────────────────▶ │ serve(): call the function │
    │     ▲                    │                      │   │      of each in turn   │
    │     └──── outcome ◀──────┼──────────────────────┼───┘                        │
    └──────────────────────────┘                      └────────────────────────────┘
         the only end open    ── end of file ──▶       exits at once, in mid-task too

No queue, no thread, no lock and no named semaphore stand between the two, so there is nothing to
leak and nothing to hang on: a loader that ends, for whatever reason, closes its pipe, and the
calling thread, which waits on all of them, knows at once which task it had (or at the next tick,
if a process that a reader forked keeps the pipe open). Loaders are started by exec, not by fork
(unsafe in a threaded kernel), and never import ``__main__``: a script needs no guard, and functions
defined in a cell travel by cloudpickle.

How the tasks flow
------------------

    waiting ──▶ │ 64 tasks │ ──▶ ▌loader: one of 64 ▐ ──▶ outcomes, one by one
                │ 64 more  │ sent ahead, when 8 are left

To read a small file takes a tenth of a millisecond, and to hand a loader one task and take one
outcome takes as long: two system calls, two pickles and a switch between processes on each side.
So where many tasks wait, they travel together.

1. A loader that has nothing to do gets a share of what waits: a quarter of what would be its part,
   at least one task and at most 64. So the first message is large, and the last ones hold one task
   each: all loaders end at about the same time.
2. The loader answers each task at once. The owner notes the outcome, maps the array, and shows it.
3. When a loader has 8 tasks left or fewer, it is sent its next share ahead of time, so that it
   never waits for the owner, who takes its time with each outcome.
4. While all loaders have more than 8 tasks, the owner sleeps for a millisecond before it looks
   again: then several outcomes have come, and are taken in one go.

2,000 files take 0.55 s so, and 0.85 s where each task travels alone.

What does not work:

- To send everything at once: the loaders that got the larger files end last, and a loader that dies
  takes more tasks with it, which must be given to another. And the pipe fills up (next point).
- To send ahead whatever there is: a pipe takes 64 kB. If the owner waits until the loader takes the
  rest, while the loader waits until the owner takes an outcome, both wait for ever. So only a
  message that fits into an empty pipe is sent ahead, and only when the loader has taken the one
  before: 8 tasks left are fewer than any message that was sent ahead held.
- To wait for outcomes without the millisecond's sleep: the owner wakes up for each small file, and
  takes the processor from the loaders where there is one for each.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Self

from shmkit._limits import oom_kills
from shmkit.cleanup import guard as _guard
from shmkit.loaders.loader import Task
from shmkit.loaders.process import (
    Died,
    Loader,
    end_lost,
    forget_all,
    origin,
    readable,
    start,
)
from shmkit.segments.backing import NAMES

__all__ = ["MIN_NBYTES", "LoaderPool", "end_idle", "useful_processes"]

MIN_NBYTES = 1 << 23  # of text for a task of its own: they take some milliseconds to read
_TICK = 0.1  # seconds between two looks at the board
_SHARES = 4  # in which a loader gets its part of what waits
_MAX_TASKS = 64  # in one message
_FEW_TASKS = 8  # that a loader has left when it is sent more
_NAP = 0.001  # seconds in which outcomes gather, to be taken at once
_idle: dict[Loader, None] = {}
_idle_lock = threading.RLock()  # a signal's handler may load too


def useful_processes(nbytes: Sequence[int], limit: int) -> int:
    """How many loader processes have something to do for files of these sizes, at most `limit`."""
    return min(limit, max(len(nbytes), sum(nbytes) // MIN_NBYTES))


class LoaderPool:
    """Loader processes lent to one load: `with LoaderPool(n) as pool`.

    They come from those that are idle, or are started; at the end those that are not in the middle
    of a task go back, the others are killed. So two threads may load at once, and an error or an
    interrupt ends every read that is under way.
    """

    def __init__(self, count: int) -> None:
        self._free: list[Loader] = []
        self._busy: dict[int, tuple[Loader, deque[int]]] = {}  # by descriptor of its outcomes
        self._environment = dict(os.environ)
        self._modules: Mapping[str, ModuleType] | None = None  # the user's, if functions of his run
        end_lost()
        self.grow(count)

    def grow(self, count: int) -> None:
        """Have so many loaders at least; none may have a task."""
        here = origin(self._environment)
        with _idle_lock:
            while _idle and len(self._free) < count:
                loader, _ = _idle.popitem()
                if loader.poll() is None and loader.origin == here:
                    self._free.append(loader)
                else:
                    loader.end()
        try:
            while len(self._free) < count:
                self._free.append(self._new())
            # It ends a loader whose reader holds the interpreter's lock.
            _guard.watch(NAMES)
            if self._modules is not None:
                self.renew(self._modules)
        except BaseException:
            self.__exit__()
            raise

    def _new(self) -> Loader:
        return start(self._environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Give the loaders back; again, where an interrupt has stopped it."""
        busy = [loader for loader, _ in self._busy.values()]
        with _idle_lock:  # an interrupt may have come while a loader was taken from the free ones
            _idle.update(dict.fromkeys(loader for loader in self._free if loader not in busy))
        self._free = []
        for loader in busy:  # all of them before any is waited for: an interrupt may come
            loader.kill()
        for loader in busy:
            loader.end()
        self._busy.clear()

    def renew(self, modules: Mapping[str, ModuleType]) -> None:
        """Replace the loaders that have run functions of the user's when his modules were others.

        `modules` are those of now. A module that was reloaded, or imported again, has another spec.
        """
        self._modules = modules
        specs = {name: module.__spec__ for name, module in modules.items()}
        for number, loader in enumerate(self._free):
            known = loader.specs
            same = known is None or (
                known.keys() == specs.keys() and all(known[name] is specs[name] for name in specs)
            )
            if not same:
                self._free[number] = self._new()
                loader.end()
            self._free[number].specs = specs

    def run(
        self,
        tasks: Sequence[Task],
        tick: Callable[[], None],
        again: Callable[[int], bool] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Run the tasks in their order, each on the next free loader.

        A task that is added to the end of them meanwhile comes next. Yields (number of the task,
        its outcome) as they end; an outcome is what the function returned, the exception it raised,
        or `Died`. A loader that died is replaced. `tick` is called about ten times a second, in the
        calling thread.

        A task whose loader was killed though memory was not short is run once more, if `again` says
        of its number that it may be: another process may have done so, or the kernel for another
        one's hunger in its group. What changes data in place may not.
        """
        waiting: list[int] = []  # numbers of tasks, the next one last
        retries = _Retries(again)
        known = 0
        next_tick = time.monotonic()
        while waiting or self._busy or known < len(tasks):
            waiting += reversed(range(known, len(tasks)))
            known = len(tasks)
            if not self._free and not self._busy:  # all have died
                self._free.append(self._new())
            self._give(tasks, waiting)
            if all(len(numbers) > _FEW_TASKS for _, numbers in self._busy.values()):
                time.sleep(_NAP)
            ready = readable(self._busy, max(next_tick - time.monotonic(), 0))
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + _TICK
                tick()
                # A process that a reader forked may keep the pipe of a dead loader open.
                ready |= {fd for fd, (loader, _) in self._busy.items() if loader.ended()}
            outcomes = self._take(ready, waiting, retries)
            self._give_ahead(tasks, waiting)  # the caller takes its time with each outcome
            yield from outcomes

    def _give(self, tasks: Sequence[Task], waiting: list[int]) -> None:
        """Send waiting tasks to the loaders that have none."""
        while waiting and self._free:
            share = self._share(waiting)
            loader, numbers = self._free[-1], deque(waiting[: -share - 1 : -1])
            self._busy[loader.outcomes] = loader, numbers  # first: an interrupt may come
            self._free.pop()
            del waiting[-share:]
            loader.send([tasks[number] for number in numbers], self._environment)

    def _give_ahead(self, tasks: Sequence[Task], waiting: list[int]) -> None:
        """Send more of many waiting tasks to the loaders that soon have none."""
        for loader, numbers in self._busy.values():
            share = self._share(waiting)
            if len(numbers) <= _FEW_TASKS < share:
                lot = waiting[: -share - 1 : -1]
                if loader.send_ahead([tasks[number] for number in lot], self._environment):
                    numbers.extend(lot)
                    del waiting[-share:]

    def _share(self, waiting: list[int]) -> int:
        """How many of them a loader gets at once."""
        loaders = len(self._free) + len(self._busy)
        return min(max(len(waiting) // (_SHARES * max(loaders, 1)), 1), _MAX_TASKS)

    def _take(
        self, ready: Iterable[int], waiting: list[int], retries: _Retries
    ) -> list[tuple[int, Any]]:
        """The outcomes that have come; the tasks that a dead loader had left wait again."""
        outcomes = []
        for descriptor in ready:
            loader, numbers = self._busy[descriptor]
            for outcome in loader.receive():
                number = numbers.popleft()
                died = isinstance(outcome, Died)
                if died:
                    waiting += reversed(numbers)
                    numbers.clear()
                if died and retries.take(number, outcome):
                    waiting.append(number)
                else:
                    outcomes.append((number, outcome))
                if not numbers:
                    del self._busy[descriptor]
                    if not died:
                        self._free.append(loader)
                    elif waiting:
                        self._free.append(self._new())
        return outcomes


class _Retries:
    """Which tasks are run once more."""

    def __init__(self, again: Callable[[int], bool] | None) -> None:
        self._again = again
        self._taken: set[int] = set()
        self._oom_kills = oom_kills()

    def take(self, number: int, died: Died) -> bool:
        """Whether this one is, whose loader died; it has one retry."""
        killed = died.exitcode == -signal.SIGKILL and oom_kills() == self._oom_kills
        if self._again is None or not killed or number in self._taken:
            return False
        self._taken.add(number)
        return self._again(number)


def _forget() -> None:
    """In a forked child: the loaders are the parent's, and so are their pipes."""
    global _idle, _idle_lock
    forget_all()
    _idle, _idle_lock = {}, threading.RLock()


def end_idle() -> bool:
    """End the loaders that no load has; whether there were any. Each takes 25 MB.

    At the interpreter's exit nothing is left running so.
    """
    with _idle_lock:
        some = bool(_idle)
        for loader in _idle:
            loader.kill()
        for loader in _idle:
            loader.end()
        _idle.clear()
    end_lost()
    return some


os.register_at_fork(after_in_child=_forget)
atexit.register(end_idle)
