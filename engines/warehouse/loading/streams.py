"""The bytes of a text file, decompressed, in pieces; lines of them for whoever reads with care."""

import codecs
import io
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from engines.errors import Invalid
from engines.sql.arrow import pyarrow
from engines.sql.fileformats import codec

PIECE: Final = 4 << 20
MARK: Final = b"\xef\xbb\xbf"


class Stream(Protocol):
    """What can be read from front to back."""

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class Opened:
    """A file's text in UTF-8. compression: of the options; else as the suffix says. Invalid where it cannot be read.

    progress is told how many bytes of the file went by.
    """

    def __init__(self, path: str, compression: str | None, encoding: str, progress: Callable[[int], None]) -> None:
        self.path = path
        self._inner: Any = self._opened(compression or codec(path))
        self._decode = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
        self._first = True
        self._progress = progress

    def _opened(self, compression: str | None) -> Any:  # noqa: ANN401 - of pyarrow
        try:
            return pyarrow().input_stream(self.path, compression=compression)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._inner.read(size)
        except (OSError, ValueError) as error:
            raise unreadable(self.path, error) from error
        self._progress(len(data))
        if self._decode is not None:
            try:
                text = self._decode.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise unreadable(self.path, error) from error
            encoded = text.removeprefix("\ufeff").encode() if self._first else text.encode()
            self._first = False
            return encoded if encoded or not data else self.read(size)
        if self._first:
            self._first = False
            data = data.removeprefix(MARK) or (self.read(size) if data else b"")
        return data

    def close(self) -> None:
        self._inner.close()


def unreadable(path: str, error: Exception) -> Invalid:
    """What to say of a file that is not what it should be."""
    return Invalid(f"{path!r} cannot be read: {str(error).splitlines()[0]}", code="load-failed", file=path)


def lines_of(first: bytes, stream: Stream | None) -> Iterator[str]:
    """Lines with their ends, of the bytes that were read already and of what is left of the stream.

    Bytes that are no UTF-8 come as surrogates.
    """
    waiting, data = first, b""
    while True:
        data = stream.read(PIECE) if stream is not None else b""
        waiting += data
        cut = waiting.rfind(b"\n") + 1 if data else len(waiting)
        yield from io.StringIO(waiting[:cut].decode(errors="surrogateescape"), newline="")
        waiting = waiting[cut:]
        if not data:
            return
