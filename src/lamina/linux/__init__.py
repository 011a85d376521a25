"""System calls that Python lacks. The only package that uses ctypes.

Functions raise :class:`OSError` with the path that the call was about. Constants name the header they come from.
"""
