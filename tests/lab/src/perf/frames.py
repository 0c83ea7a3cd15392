"""Frames as a network card would bring them: an XDP program makes them, so that no socket buffer is there yet.

frames.py flood DEVICE TO_MAC SOURCE DESTINATION SOURCE_PORT PORT SECONDS LOOKS: small datagrams of one flow out of
DEVICE, whose peer must take XDP frames, with LOOKS looks at the clock before each, which make the rate; prints how many, and the processor time that took in nanoseconds.
frames.py hello SOURCE DESTINATION SOURCE_PORT PORT: a datagram of that flow that must be answered.
frames.py drop DEVICE: every frame ends at the door of DEVICE until this program does.
"""

import ctypes
import socket
import struct
import sys
import time

BPF, PROG_LOAD, PROG_TEST_RUN, LINK_CREATE = 321, 5, 10, 28
PROG_TYPE_XDP, ATTACH_TYPE_XDP, FLAGS_DRV_MODE, LIVE_FRAMES = 6, 37, 4, 2
XDP_DROP, GET_TIME, REDIRECT = 1, 5, 23
PAYLOAD = 18
# Frames of one system call, which ends with a wait, and those that are made at once.
REPEAT, BATCH = 131072, 64

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attribute):
    buffer = ctypes.create_string_buffer(attribute.ljust(128, b"\0"), 128)
    result = libc.syscall(BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf(2), command %d" % command)
    return result


def one(code, destination=0, source=0, offset=0, value=0):
    return struct.pack("<BBhi", code, source << 4 | destination, offset, value)


def load(code):
    text, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"Apache-2.0")
    addresses = ctypes.addressof(text), ctypes.addressof(licence)
    return bpf(PROG_LOAD, struct.pack("<IIQQ", PROG_TYPE_XDP, len(code) // 8, *addresses))


def drop(device):
    program = load(one(0xB7, value=XDP_DROP) + one(0x95))
    link = bpf(LINK_CREATE, struct.pack("<IIII", program, socket.if_nametoindex(device), ATTACH_TYPE_XDP, FLAGS_DRV_MODE))
    print("attached by", link, flush=True)
    while True:
        time.sleep(60)


def hello(source, destination, source_port, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind((source, source_port))
        asking.settimeout(1)
        asking.sendto(b"hello", (destination, port))
        asking.recv(100)


def checksum(header):
    total = sum(struct.unpack(">10H", header))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


def frame_of(device, to_mac, source, destination, source_port, port):
    mac = lambda text: bytes.fromhex(text.strip().replace(":", ""))
    with open("/sys/class/net/%s/address" % device) as address:
        ethernet = mac(to_mac) + mac(address.read()) + b"\x08\0"
    fields = 0x45, 0, 28 + PAYLOAD, 0, 0x4000, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(destination)
    ip = struct.pack(">BBHHHBBH4s4s", *fields)
    udp = struct.pack(">HHHH", source_port, port, 8 + PAYLOAD, 0)
    return ethernet + ip[:10] + checksum(ip) + ip[12:] + udp + bytes(PAYLOAD)


def processor_time():
    with open("/proc/thread-self/schedstat") as counts:
        return int(counts.read().split()[0])


def flood(device, to_mac, source, destination, source_port, port, seconds, looks):
    frame = frame_of(device, to_mac, source, destination, source_port, port)
    # r7 = data; a frame comes back with what the receivers wrote into it, so that its headers are written again.
    front = one(0x61, 7, 1, 0) + one(0x61, 3, 1, 4) + one(0xBF, 4, 7) + one(0x07, 4, value=44)
    work = b"".join(one(0x62, 7, 0, at, *struct.unpack("<i", frame[at : at + 4])) for at in range(0, 44, 4))
    work += one(0x85, value=GET_TIME) * looks
    work += one(0xB7, 1, value=socket.if_nametoindex(device)) + one(0xB7, 2) + one(0x85, value=REDIRECT) + one(0x95)
    program = load(front + one(0x2D, 4, 3, len(work) // 8) + work + one(0xB7, value=XDP_DROP) + one(0x95))
    data = ctypes.create_string_buffer(frame, len(frame))
    sent, end, before = 0, time.time() + seconds, processor_time()
    while time.time() < end:
        sizes = program, 0, len(frame), 0, ctypes.addressof(data), 0, REPEAT, 0, 0, 0, 0, 0, LIVE_FRAMES, 0, BATCH
        bpf(PROG_TEST_RUN, struct.pack("<IIIIQQIIIIQQIII", *sizes))
        sent += REPEAT
    print(sent, processor_time() - before)


what, words = sys.argv[1], sys.argv[2:]
if what == "flood":
    flood(*words[:4], int(words[4]), int(words[5]), float(words[6]), int(words[7]))
elif what == "hello":
    hello(*words[:2], int(words[2]), int(words[3]))
else:
    drop(*words)
