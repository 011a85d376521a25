"""Flags of ``run`` and ``create`` by what they are about.

Each module has ``FLAGS``, ``config`` (members of Docker's ``Config``) and ``host_config`` (of its ``HostConfig``), both
made from the parsed options; :mod:`lamina.cli.creating` joins them.
"""
