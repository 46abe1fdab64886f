"""Run as a script by `infra.background`: detach, name oneself in the lock file, become the command.

Arguments: file descriptor of the lock, user id, group id (-1: stay who we are), command …
"""

import os
import signal
import sys


def launch(lock: int, user: int, group: int, command: list[str]) -> None:
    """Never returns: the parent exits, the child is replaced by the command and keeps the lock."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    if user >= 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    os.chdir("/")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would pass that on
    os.execv(command[0], command)


if __name__ == "__main__":
    launch(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
