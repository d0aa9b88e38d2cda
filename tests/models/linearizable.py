"""Is there one order of what several threads did that explains every answer? (Wing and Gong, 1993, with memory.)

An operation is (began, ended, step): step(state) gives the state after it, or None where its answer does not fit that
state. An operation that ended before another began comes before it; others may be put in either order.
"""


def linearizable(history, state):
    """Whether the history has such an order, from this state on. States are hashable."""
    history = sorted(history, key=lambda operation: operation[0])
    everything = (1 << len(history)) - 1
    seen = set()

    def search(done, state):
        if done == everything:
            return True
        if (done, state) in seen:
            return False
        seen.add((done, state))
        left = [n for n in range(len(history)) if not done >> n & 1]
        horizon = min(history[n][1] for n in left)
        for n in left:
            began, _, step = history[n]
            if began > horizon:  # another one had ended before this one began
                break
            after = step(state)
            if after is not None and search(done | 1 << n, after):
                return True
        return False

    return search(0, state)
