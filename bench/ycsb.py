"""The Yahoo! Cloud Serving Benchmark's workloads, for any adapter with load, get and put (Cooper et al., SoCC 2010).

A half puts, B one put in twenty, C reads, E ranges; and puts alone.

    stores = Loaded(ADAPTERS, names, LOAD, grade=PROCESS, items=Items(20_000), folder=folder)
    lanes = stores.race(request, reading(stores, ...), rounds)

Lanes check each lap by a checksum (one letter of every answer, added up inside the clock), and each race ends with a
comparison of every item. The loops that run inside the clock are written out for dictionaries and for bytes, since a
call more would cost a fifth of a raw LMDB get.
"""

from functools import lru_cache
from itertools import accumulate

from data import Items
from race import Lane, entrants, failing, race


class Loaded:
    """Systems with the same items in them, and what they must hold by now: now[name][i] is item i of that system."""

    def __init__(self, adapters, names, group, *, grade, items, folder, rounds=0):
        """Load each system `rounds` + 1 times in turns, each time into a fresh folder.

        The last one is closed, its size noted, and opened again. A system that fails has its error in its lane and is
        not in `adapters`.
        """
        self.items, self.now = items, {name: list(items.items) for name in names}
        self.adapters, self.keys = {}, {}
        self.lanes = race([self._loading(adapters, name, group, grade, folder) for name in names], rounds)
        for (_, name), lane in self.lanes.items():
            if lane.error is None:
                with failing([lane]):
                    adapter = self.adapters[name]
                    adapter.close()
                    lane.info["bytes"] = adapter.size()
                    adapter.open(adapter.folder, grade)
                    self.keys[name] = [adapter.key(key) for key in items.keys]
            if lane.error is not None:
                self.adapters.pop(name, None)

    def _loading(self, adapters, name, group, grade, folder):
        def prepare(lap):
            if name in self.adapters:
                self.adapters.pop(name).close()
            adapter = adapters[name]()
            adapter.open(folder / f"{grade} {name} {lap}", grade)
            self.adapters[name] = adapter
            return adapter.load, [adapter.entry(self.items.keys[i], self.items.items[i]) for i in self.items.order]

        def run(inputs):
            load, entries = inputs
            load(entries)

        return Lane(group, name, self.items.n, run, prepare, lambda _, __: self.verify(name))

    def verify(self, name):
        """Compare every item of a system with what was put last."""
        adapter = self.adapters[name]
        with adapter.reading() as get:
            for key, item in zip(self.items.keys, self.now[name], strict=True):
                assert get(adapter.key(key)) == adapter.stored(item), f"{name}: {key} is not what was put last"

    def race(self, request, lanes_of, rounds):
        """Race the entrants that could be loaded, each with the lanes lanes_of(name); then compare every item."""
        return race_together(request, [(self, lanes_of)], rounds)

    def puts(self, name, numbers, first):
        """Entries that replace these items by versions `first` and up; the system must hold them from now on."""
        adapter, now, entries = self.adapters[name], self.now[name], []
        for number, i in enumerate(numbers, first):
            now[i] = item = self.items.version(i, number)
            entries.append(adapter.entry(self.items.keys[i], item))
        return entries

    def close(self):
        for adapter in self.adapters.values():
            adapter.close()


def race_together(request, parts, rounds):
    """The same for pairs of stores and lanes_of: their lanes take turns in one race."""
    names = entrants(request)
    runners = [(stores, lanes_of, name) for stores, lanes_of in parts for name in names if name in stores.adapters]
    lanes = race([lane for _, lanes_of, name in runners for lane in lanes_of(name)], rounds)
    for stores, _, name in runners:
        with failing(lane for lane in lanes.values() if lane.system == name):
            stores.verify(name)
    loads = {name: lane for stores, _ in parts for (_, name), lane in stores.lanes.items()}
    return Lanes(lanes, {name: lane for name, lane in loads.items() if lane.error is not None})


class Lanes(dict):
    """Lanes by (group, system); for a system that could not be loaded, the lane that says why."""

    def __init__(self, lanes, failed):
        super().__init__(lanes)
        self.failed = failed

    def __missing__(self, key):
        return self.failed[key[1]]


def read_items(get, keys):
    total = 0
    for key in keys:
        total += ord(get(key)["field9"][-1])
    return total


def read_bytes(get, keys):
    total = 0
    for key in keys:
        total += get(key)[-1]
    return total


def mix_items(get, put, mix):
    total = 0
    for key, entry in mix:
        if entry is None:
            total += ord(get(key)["field9"][-1])
        else:
            put(entry)
    return total


def mix_bytes(get, put, mix):
    total = 0
    for key, entry in mix:
        if entry is None:
            total += get(key)[-1]
        else:
            put(entry)
    return total


def reading(stores, group, operations, stack):
    """Workload C: zipfian reads. stack (an ExitStack) keeps each system's fastest way to read open meanwhile."""
    items = stores.items

    def lanes_of(name):
        adapter, keys = stores.adapters[name], stores.keys[name]
        get = stack.enter_context(adapter.reading())
        read = read_bytes if adapter.raw else read_items

        def prepare(lap):
            return [keys[i] for i in items.zipfian(operations, lap)]

        def right(lap, total):
            assert total == read_items(stores.now[name].__getitem__, items.zipfian(operations, lap))

        yield Lane(group, name, operations, lambda wanted: read(get, wanted), prepare, right)

    return lanes_of


def mixing(stores, group, operations, first=0, share=0.5):
    """Workload A: zipfian, half reads, half puts of a whole item; B with a share of 0.05.

    Laps are streams of choices from `first` on.

    Two mixes on the same stores need ranges of streams that do not meet: then no version is ever put twice.
    """
    items = stores.items
    draw = lru_cache(2)(lambda lap: items.mix(operations, share, first + lap))  # once a lap, equal for all systems

    def lanes_of(name):
        adapter, keys, names, now = stores.adapters[name], stores.keys[name], items.keys, stores.now[name]
        mixed = mix_bytes if adapter.raw else mix_items
        expected = 0

        def prepare(lap):
            nonlocal expected
            numbered = [(i, None if item is None else (i, item)) for i, item in draw(lap)]
            expected = mix_items(now.__getitem__, lambda pair: now.__setitem__(*pair), numbered)
            return [(keys[i], None if item is None else adapter.entry(names[i], item)) for i, item in draw(lap)]

        def right(_, total):
            assert total == expected

        yield Lane(group, name, operations, lambda mix: mixed(adapter.get, adapter.put, mix), prepare, right)

    return lanes_of


def putting(stores, group, operations, first):
    """Puts alone, zipfian. Versions of items count from `first` on."""

    def lanes_of(name):
        adapter = stores.adapters[name]

        def prepare(lap):
            return stores.puts(name, stores.items.zipfian(operations, lap), first + lap * operations)

        def run(entries):
            put = adapter.put
            for entry in entries:
                put(entry)

        yield Lane(group, name, operations, run, prepare)

    return lanes_of


class Customers(Items):
    """The same items under two keys: the customer, who has a thousand items or half of all, and the id."""

    def __init__(self, n, seed=1):
        super().__init__(n, seed)
        self.size = min(1000, n // 2)
        self.keys = [(f"customer{i // self.size:04d}", key) for i, key in enumerate(self.keys)]
        self.items = [{"customer": customer} | item for (customer, _), item in zip(self.keys, self.items, strict=True)]
        self.sums = list(accumulate((ord(item["field9"][-1]) for item in self.items), initial=0))

    def starts(self, count, length, stream):
        """Numbers of items, popular ones often, each the first of at least `length` of its customer."""
        return [i - max(0, i % self.size + length - self.size) for i in self.zipfian(count, stream)]


def ranging(stores, group, queries, length, stack):
    """Workload E without its inserts: the next `length` items of a customer, from a zipfian one on.

    An operation is a query.
    Adapters have ranging(), a context that yields range(key, length) -> list of items.
    """
    items = stores.items

    def lanes_of(name):
        adapter, keys = stores.adapters[name], stores.keys[name]
        find = stack.enter_context(adapter.ranging())

        def run(wanted):
            total = 0
            for key in wanted:
                for item in find(key, length):
                    total += ord(item["field9"][-1])
            return total

        def right(lap, total):
            starts = items.starts(queries, length, lap)
            assert total == sum(items.sums[i + length] - items.sums[i] for i in starts)
            assert find(keys[starts[0]], length) == items.items[starts[0] : starts[0] + length]

        yield Lane(group, name, queries, run, lambda lap: [keys[i] for i in items.starts(queries, length, lap)], right)

    return lanes_of
