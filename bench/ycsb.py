"""The Yahoo! Cloud Serving Benchmark's workloads, for any adapter with load, get and put (Cooper et al., SoCC 2010).

    stores = Loaded(ADAPTERS, names, LOAD, grade=PROCESS, items=Items(20_000), folder=folder)
    lanes = stores.race(request, reading(stores, ...), rounds)

Lanes check each lap by a checksum (one letter of every answer, added up inside the clock), and each race ends with a
comparison of every item. The loops that run inside the clock are written out for dictionaries and for bytes, since a
call more would cost a fifth of a raw LMDB get.
"""

from functools import lru_cache

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
        names = [name for name in entrants(request) if name in self.adapters]
        lanes = race([lane for name in names for lane in lanes_of(name)], rounds)
        for name in names:
            with failing(lane for lane in lanes.values() if lane.system == name):
                self.verify(name)
        failed = {name: lane for (_, name), lane in self.lanes.items() if lane.error is not None}
        return Lanes(lanes, failed)

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


def mixing(stores, group, operations, first=0):
    """Workload A: zipfian, half reads, half puts of a whole item. Laps are streams of choices from `first` on.

    Two mixes on the same stores need ranges of streams that do not meet: then no version is ever put twice.
    """
    items = stores.items
    draw = lru_cache(2)(lambda lap: items.mix(operations, 0.5, first + lap))  # once a lap, equal for all systems

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
