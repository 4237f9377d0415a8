"""All that cannot be captured is named at once: two sockets, a pipe, a child process."""

# refused: first, job.pool._sock, reader, child

import os
import socket
import subprocess

import stillframe
import stillframe.errors


class Pool:
    def __init__(self):
        self._sock = socket.socket()


class Job:
    def __init__(self):
        self.pool = Pool()


def main():
    first = socket.socket()
    job = Job()
    read, write = os.pipe()
    reader = open(read)
    child = subprocess.Popen(["sleep", "0"])
    try:
        stillframe.snapshot(os.environ["SNAPSHOT"])
    except stillframe.errors.CannotCapture as error:
        print("refused:", error)
    child.wait()
    reader.close()
    os.close(write)
    first.close()
    job.pool._sock.close()


main()
print("goes on")
