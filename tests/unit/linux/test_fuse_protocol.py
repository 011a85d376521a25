"""The structs are as long as ``include/uapi/linux/fuse.h`` makes them."""

from __future__ import annotations

import pytest

from lamina.linux import fuse_protocol as protocol

#: ``sizeof`` of what follows the header of a request.
REQUESTS = {
    "HEADER_IN": 40,
    "INIT_IN_EXT": 20,
    "FORGET_IN": 8,
    "BATCH_FORGET_IN": 8,
    "FORGET_ONE": 16,
    "GETATTR_IN": 16,
    "SETATTR_IN": 88,
    "MKNOD_IN": 16,
    "MKDIR_IN": 8,
    "RENAME2_IN": 16,
    "LINK_IN": 8,
    "OPEN_IN": 8,
    "CREATE_IN": 16,
    "RELEASE_IN": 24,
    "READ_IN": 40,
    "WRITE_IN": 40,
    "FSYNC_IN": 16,
    "SETXATTR_IN": 16,
    "GETXATTR_IN": 8,
    "FALLOCATE_IN": 32,
    "LSEEK_IN": 24,
    "COPY_FILE_RANGE_IN": 56,
    "BACKING_MAP": 16,
    "DIRENT": 24,
    "DIRENTPLUS": 152,
}
#: ``sizeof`` of what follows the header of a reply.
REPLIES = {
    "HEADER_OUT": 0,
    "INIT_OUT": 64,
    "ATTR_OUT": 104,
    "ENTRY_OUT": 128,
    "OPEN_OUT": 16,
    "CREATE_OUT": 144,
    "WRITE_OUT": 8,
    "STATFS_OUT": 80,
    "GETXATTR_OUT": 8,
    "LSEEK_OUT": 8,
}


@pytest.mark.parametrize(("name", "size"), REQUESTS.items())
def test_a_request_has_the_kernels_size(name: str, size: int) -> None:
    assert getattr(protocol, name).size == size


@pytest.mark.parametrize(("name", "size"), REPLIES.items())
def test_a_reply_has_the_kernels_size(name: str, size: int) -> None:
    assert getattr(protocol, name).size == 16 + size


def test_times_before_1970_can_be_sent() -> None:
    protocol.ATTR_OUT.pack(*([0] * 9), -1, -1, -1, *([0] * 10))
