"""Point reads and point writes: one compiled function each, because every Python frame on the way costs 50 to 100 ns.

    read     encode the key | lock | get | expired? | decode | unlock
    write    lock | names learnt? | anything due? | get the old image | condition | same as before? | one frame to the
             log | put or delete | expiries | unlock | wait for the log

What they call is handed in: the codecs, the lock, the log, and the tree whose open transaction has the data. What is
rare (conditions, names, expiries, mishaps) is done by methods of the table's Records, in Python, where it is
explained.

The view of a value that LMDB hands out dies with the next write: it is used up before, and before the lock is let go.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

from itemread cimport peek_head
from mutex cimport PyThread_type_lock, leave, take
from stamps cimport same_image, stamp_of
from texts cimport is_exact_text, is_ascii_text, text_data, text_length

from engines._native.kvframe import encode_change
from engines._native.kvstamp import stamp, unstamped

from lmdb import Transaction

cdef type TRANSACTION = Transaction

cdef enum:
    MICROSECONDS = 1_000_000
    LONGEST_PLAIN = 900  # with its end mark shorter than keyrange.LONGEST_PARTITION: such a key is never cut


cdef inline uint64_t expiry_of(const Py_buffer* view) noexcept nogil:
    """The second in which an image expires, 0 for never."""
    cdef uint32_t size
    cdef uint64_t expires
    peek_head(view, &size, &expires)
    return expires


cdef inline bytes plain_key(object value):
    """What keys.pyx makes of a partition key by itself, if that is plain: a short ASCII text. None if not."""
    cdef Py_ssize_t size
    cdef bytes key
    cdef char* out
    if not is_exact_text(value) or not is_ascii_text(value):
        return None
    size = text_length(value)
    if not 0 < size <= LONGEST_PLAIN or memchr(text_data(value), 0, size) != NULL:
        return None
    key = PyBytes_FromStringAndSize(NULL, size + 2)
    out = PyBytes_AS_STRING(key)
    memcpy(out, text_data(value), size)
    out[size] = 0
    out[size + 1] = 1
    return key


@cython.final
@cython.auto_pickle(False)
cdef class Fetch:
    """Gets values by the present transaction, whose method is looked up once. Under the lock."""

    cdef object known, method

    cdef object get(self, object keyspace, bytes key):
        transaction = keyspace.tree.transaction
        if transaction is not self.known:
            if type(transaction) is not TRANSACTION:  # one that is no more says so, one that is late catches up
                return transaction.get(key, None, keyspace.db)
            self.known, self.method = transaction, transaction.get
        return self.method(key, None, keyspace.db)


@cython.final
@cython.auto_pickle(False)
cdef class PointReader:
    """Reads single items of one table. get() may be called from any thread.

    encode, decode: methods of the codecs. now: the clock's, or None where nothing expires. keyspace: the items'.
    shorten(key): the stored key for a whole one of more than `longest` bytes. metered: reads cost units, so they go
    another way (TableReads).
    """

    cdef public object encode, decode, now
    cdef public bint metered
    cdef object keyspace, shorten, lock  # the lock is kept because the mutex is in it
    cdef PyThread_type_lock mutex
    cdef Fetch fetch
    cdef Py_ssize_t longest
    cdef bint is_text

    def __init__(self, keys, decode, lock, keyspace, shorten, Py_ssize_t longest):
        self.encode, self.is_text = keys.encode, keys.types == "S"
        self.decode, self.lock, self.mutex = decode, lock, <PyThread_type_lock><size_t>lock.address
        self.keyspace, self.shorten, self.longest = keyspace, shorten, longest
        self.fetch = Fetch()

    cpdef get(self, tuple key):
        """The item with this key, or None. ValueError if the key is wrong, or the bytes found are no item."""
        cdef bytes encoded = plain_key(<object>PyTuple_GET_ITEM(key, 0)) if self.is_text and len(key) == 1 else None
        if encoded is None:
            encoded = self.encode(key)
            if PyBytes_GET_SIZE(encoded) > self.longest:
                encoded = self.shorten(encoded)
        take(self.mutex)
        try:
            found = self.fetch.get(self.keyspace, encoded)
            if found is None or (self.now is not None and self.expired(found)):
                return None
            return self.decode(found)
        finally:
            leave(self.mutex)

    cdef bint expired(self, image) except -1:
        cdef Py_buffer view
        cdef uint64_t expires
        PyObject_GetBuffer(image, &view, PyBUF_SIMPLE)
        expires = expiry_of(&view)
        PyBuffer_Release(&view)
        return expires != 0 and expires <= <uint64_t>self.now() // MICROSECONDS


@cython.auto_pickle(False)
cdef class TableReads:
    """The base of a Table: the one method that has to be compiled whole."""

    cdef public PointReader reader
    cdef public object records

    def get(self, *key, projection=None, names=None, bint consistent=False, consumed=None):
        """The item with this key, None where there is none or its time to live is over.

        projection: "a, b.c[0]" gives these attributes only; names: what #placeholders in it stand for. consistent=True
        returns only what is on disk: it waits for a sync that is still under way. consumed: a kv.Consumed, to which
        the read units of this call are added. Invalid for a wrong key or projection, Throttled where units were
        bought and none are left.
        """
        if projection is not None or names is not None or consumed is not None or self.reader.metered:
            return self.get_with(key, projection, names, consistent, consumed)
        try:
            item = self.reader.get(key)
        except ValueError as error:
            raise self.records.read_error(key, error) from error
        if consistent:
            self.records.wait()
        return item


@cython.final
@cython.auto_pickle(False)
cdef class References:
    """Which frames of the log others may refer to. Under the store's lock.

    since     frames from here on are kept, and were at most a day old when last looked at
    oldest    the oldest one referred to since the last checkpoint
    """

    cdef public uint64_t since, oldest

    def __init__(self, uint64_t since):
        self.since = since
        self.forget()

    def forget(self):
        """At a checkpoint, which has written `oldest` down."""
        self.oldest = <uint64_t>1 << 63

    cpdef note(self, uint64_t sequence):
        """A frame refers to this one: it must be kept as long as that."""
        self.oldest = min(self.oldest, sequence)


@cython.final
@cython.auto_pickle(False)
cdef class PointWriter:
    """Writes items of one table, one at a time. write() may be called from any thread, the others under the lock.

    records: the table's, for what is rare. kind: of the log's frames. names: the codec's. keeps_old: frames say what
    was replaced. expires: items have a time to live; sweeps: a write deletes what is due. indexed: there are indexes.
    metered: writes cost units.
    """

    cdef public list names
    cdef public bint keeps_old, expires, sweeps, indexed, metered
    cdef object records, lock, tree, items, log, append, acknowledge, shorten
    cdef PyThread_type_lock mutex
    cdef Fetch fetch
    cdef References references
    cdef Py_ssize_t longest
    cdef uint64_t table
    cdef uint32_t kind

    def __init__(
        self, records, lock, tree, items, log, list names not None, References references not None, shorten,
        Py_ssize_t longest, uint64_t table, uint32_t kind,
    ):
        self.records, self.lock, self.mutex = records, lock, <PyThread_type_lock><size_t>lock.address
        self.fetch = Fetch()
        self.tree, self.items, self.log = tree, items, log
        self.append, self.acknowledge = log.append, log.acknowledge
        self.names, self.references, self.shorten, self.longest = names, references, shorten, longest
        self.table, self.kind = table, kind

    def write(
        self, bytes key not None, bytes image, uint64_t expires=0, holds=None, bint returns_old=False, make=None,
        consumed=None,
    ):
        """Put an image under a key (with none: delete), and wait as the log's durability says.

        key: the whole one. holds: a condition on the old item. make: a function from the old item to (image,
        expiry), in place of those. consumed: what the write units are added to. The old item, if returns_old.
        """
        cdef bytes stored_key = key
        cdef uint64_t old_expires = 0
        cdef bint due = False
        old_item = cost = None
        if PyBytes_GET_SIZE(key) > self.longest:
            stored_key = self.shorten(key)
        take(self.mutex)
        try:
            if self.log.last != self.tree.applied:
                self.tree.catch_up()
            if len(self.names) != self.records.names_logged:
                self.records.log_names()
            if self.sweeps:
                self.records.sweep_before(stored_key)
            view = self.fetch.get(self.items, stored_key)
            if holds is not None or returns_old or make is not None:
                old_item = self.records.checked(key, view, holds)
                if make is not None:
                    image, expires = make(old_item)
                    if len(self.names) != self.records.names_logged:
                        self.records.log_names()
                        view = self.fetch.get(self.items, stored_key)
            if self.metered or consumed is not None:
                cost = self.records.charge_write(stored_key, view, image)
            before = sequence = self.log.last
            if not self.unchanged(view, image, &old_expires):
                try:
                    payload = encode_change(self.table, key, None if view is None else self.old(view), image)
                    sequence = self.append(payload, self.kind)
                    self.apply(stored_key, image, old_expires, expires, sequence)
                    due = self.tree.note(sequence, PyBytes_GET_SIZE(payload))
                except BaseException as error:
                    if self.log.last > before:  # as in Tree.write, and as there without a call in between
                        self.tree.transaction = self.tree.late
                    elif cost is not None:
                        self.records.give_back(cost, stored_key)
                    sequence = self.tree.mend(error, before)
            if cost is not None:
                cost.add_to(consumed, self.records.definition.name)
        finally:
            leave(self.mutex)
        self.acknowledge(sequence)
        if due:
            self.records.checkpoint_if_due()
        return old_item if returns_old else None

    cdef bint unchanged(self, old, bytes new, uint64_t* old_expires) except -1:
        """Whether there is nothing to write; notes when the old item would have expired."""
        cdef Py_buffer view
        if old is None or new is None:
            if old is None:
                return new is None
            PyObject_GetBuffer(old, &view, PyBUF_SIMPLE)
            old_expires[0] = expiry_of(&view)
            PyBuffer_Release(&view)
            return False
        PyObject_GetBuffer(old, &view, PyBUF_SIMPLE)
        old_expires[0] = expiry_of(&view)
        same = same_image(
            <const uint8_t*>view.buf, view.len, <const uint8_t*>PyBytes_AS_STRING(new), PyBytes_GET_SIZE(new)
        )
        PyBuffer_Release(&view)
        return same

    cpdef old(self, stored):
        """What a frame says of the item that is replaced: no more than that it was, the frame that holds it, or all."""
        cdef Py_buffer view
        cdef uint64_t sequence
        if not self.keeps_old:
            return b""
        PyObject_GetBuffer(stored, &view, PyBUF_SIMPLE)
        sequence = stamp_of(<const uint8_t*>view.buf, view.len)
        PyBuffer_Release(&view)
        if sequence == 0 or sequence < self.references.since:
            return unstamped(stored)
        self.references.note(sequence)
        return sequence

    cpdef apply(self, bytes key, bytes image, uint64_t old_expires, uint64_t expires, uint64_t sequence):
        """Put or delete in the tree what the frame `sequence` says; key is the stored one."""
        if self.indexed:
            self.records.reindex(key, image)
        if image is None:
            self.items.tree.transaction.delete(key, b"", self.items.db)
        else:
            stored = stamp(image, sequence) if self.keeps_old else image
            self.items.tree.transaction.put(key, stored, True, True, False, self.items.db)
        if self.expires and old_expires != expires:
            self.records.reschedule(key, old_expires, expires)
