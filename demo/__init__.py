"""The demo: one nginx image through its whole life, every step checked.

It uses nothing but the ``lamina`` command, Debian packages and Debian's ``docker-registry`` on the loopback interface,
on a root of its own that is gone at the end. Run it with ``make demo``.
"""
