"""System calls that Python lacks. The only package that uses ctypes."""
