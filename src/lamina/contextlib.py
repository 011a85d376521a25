"""What lamina uses of :mod:`contextlib`, without loading it.

The standard module needs ``functools``, which needs ``collections``: together some milliseconds of every start. Type
checkers see the real thing.
"""

from __future__ import annotations

from lamina.typing import TYPE_CHECKING, Generic

if TYPE_CHECKING:
    from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
else:

    class AbstractContextManager(Generic):
        """Base of classes for ``with``."""

        __slots__ = ()

        def __enter__(self):
            return self

        def __exit__(self, kind, error, traceback):
            return None

    class suppress(AbstractContextManager):  # noqa: N801 - the standard name
        """Ends the block at one of the errors, and them."""

        __slots__ = ("_kinds",)

        def __init__(self, *kinds):
            self._kinds = kinds

        def __exit__(self, kind, error, traceback):
            return kind is not None and issubclass(kind, self._kinds)

    class nullcontext(AbstractContextManager):  # noqa: N801 - as above
        """Stands where nothing has to be done."""

        __slots__ = ("_result",)

        def __init__(self, enter_result=None):
            self._result = enter_result

        def __enter__(self):
            return self._result

    class closing(AbstractContextManager):  # noqa: N801 - as above
        """Closes ``thing`` at the end."""

        __slots__ = ("_thing",)

        def __init__(self, thing):
            self._thing = thing

        def __enter__(self):
            return self._thing

        def __exit__(self, kind, error, traceback):
            self._thing.close()

    def contextmanager(function):
        """What makes context managers of a generator that yields once."""

        def make(*arguments, **named):
            return _Generated(function(*arguments, **named))

        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            setattr(make, name, getattr(function, name))
        make.__wrapped__ = function
        return make

    class _Generated(AbstractContextManager):
        """A generator's part before its ``yield``, and what follows it."""

        __slots__ = ("_generator",)

        def __init__(self, generator):
            self._generator = generator

        def __enter__(self):
            for value in self._generator:
                return value
            raise RuntimeError("generator didn't yield")

        def __exit__(self, kind, error, traceback):
            if kind is None:
                for _ in self._generator:
                    self._generator.close()
                    raise RuntimeError("generator didn't stop")
                return False
            try:
                self._generator.throw(error)
            except StopIteration as ended:
                return ended is not error
            except BaseException as raised:
                # A generator can't let a StopIteration through: it comes out as the cause of a RuntimeError.
                stopped = isinstance(error, StopIteration) and raised.__cause__ is error
                if raised is not error and not (stopped and isinstance(raised, RuntimeError)):
                    raise
                error.__traceback__ = traceback  # without the generator's frames
                return False
            self._generator.close()
            raise RuntimeError("generator didn't stop after throw()")

    class ExitStack(AbstractContextManager):
        """Any number of blocks, left in reverse order as if each was inside the one before."""

        __slots__ = ("_exits",)

        def __init__(self):
            self._exits = []

        def enter_context(self, manager):
            kind = type(manager)
            leave = kind.__exit__
            result = kind.__enter__(manager)
            self._exits.append(lambda *details: leave(manager, *details))
            return result

        def callback(self, function, /, *arguments, **named):
            def leave(*details):
                function(*arguments, **named)

            self._exits.append(leave)
            return function

        def pop_all(self):
            other = type(self)()
            self._exits, other._exits = other._exits, self._exits
            return other

        def close(self):
            self.__exit__(None, None, None)

        def __exit__(self, kind, error, traceback):
            left = _leave(self._exits, error)
            if left is error:
                return False
            if left is None:
                return True
            context = left.__context__
            try:
                raise left
            except BaseException:
                left.__context__ = context  # which "raise" has replaced by the block's own error
                raise

    def _leave(exits, error):
        """Call them from the last to the first; the error that there is then."""
        while exits:
            leave = exits.pop()
            try:
                if leave(type(error) if error is not None else None, error, getattr(error, "__traceback__", None)):
                    error = None
            except BaseException as raised:
                return _leave(exits, raised)  # here, so that this one is the context of what fails next
        return error


__all__ = ["AbstractContextManager", "ExitStack", "closing", "contextmanager", "nullcontext", "suppress"]
