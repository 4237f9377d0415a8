"""A socket is refused by its name, and the program goes on."""

# refused: connection.sock, socket

import os
import socket

import stillframe
import stillframe.errors


class Connection:
    def __init__(self):
        self.sock = socket.socket()


connection = Connection()
try:
    stillframe.snapshot(os.environ["SNAPSHOT"])
except stillframe.errors.CannotCapture as error:
    print("refused:", error)
connection.sock.close()
print("goes on")
