"""Ctrl-C at one moment at which Python may deliver it.

Python 3.11 looks for signals after a call of a C function, at a jump back, and when a function begins. A trace function
counts these moments and raises KeyboardInterrupt at the n-th.
"""

import dis
import functools
import gc
import sys

CHECKED = {dis.opmap[name] for name in ("CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "RESUME") if name in dis.opmap}


class CtrlC:
    """Raises KeyboardInterrupt at the n-th moment, in this thread, while it is entered. where: None if it did not."""

    def __init__(self, n):
        self.left, self.where = n, None
        self.previous = None  # what was executed last: frame, its handler, opcode

    def __enter__(self):
        gc.disable()  # a collection in here would run what other tests left behind, and be interrupted in it
        sys.settrace(self.trace)

    def __exit__(self, *_):
        sys.settrace(None)
        gc.enable()

    def trace(self, frame, event, arg):
        frame.f_trace_opcodes = True
        if event == "opcode":
            code = frame.f_code
            now = (frame, handler(code, frame.f_lasti), code.co_code[frame.f_lasti])
            previous, self.previous = self.previous, now
            # Python raises it as if in the instruction before: where another handler begins, that can not be played
            if previous is not None and previous[:2] == now[:2] and previous[2] in CHECKED:
                self.left -= 1
                if self.left == 0:
                    self.where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                    raise KeyboardInterrupt
        elif event in ("return", "exception"):
            self.previous = None
        return self.trace


@functools.cache
def handlers(code):
    return list(dis._parse_exception_table(code))


def handler(code, at):
    """Where an exception at this instruction is caught, in its own function."""
    return next((entry.target for entry in handlers(code) if entry.start <= at < entry.end), None)
