"""zstd with a length that is known beforehand: bytes that lie about theirs cost no memory."""

import zstandard


class Unpacked(ValueError):
    """Bytes that are no frame of the length they should have."""


def unzipped(data: bytes | memoryview, size: int) -> bytes:
    """The `size` bytes that were compressed. Unpacked where it is another frame, or none."""
    if not size and not len(data):
        return b""
    try:
        said = zstandard.get_frame_parameters(data).content_size
        found = zstandard.decompress(data, max_output_size=size) if said == size > 0 else b""
    except zstandard.ZstdError as error:
        raise Unpacked(str(error)) from error
    if said != size or len(found) != size:
        raise Unpacked(f"{size:,} bytes were compressed, these are {said:,}")
    return found
