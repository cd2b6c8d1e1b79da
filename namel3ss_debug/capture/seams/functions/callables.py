"""Replace the call of an object that is not a function, such as a `functools.partial` or an `lru_cache` wrapper.

Only the call differs. A function in place of such an object would lose its attributes, and as a member of a class it
would be bound to instances, which the object is not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    _Proxy = wrapt.ObjectProxy[Any]
else:
    _Proxy = wrapt.ObjectProxy  # in version 1 it takes no parameters


class CalledOtherwise(_Proxy):
    """A proxy whose call is replaced. Everything else is the object's own.

    Args:
        wrapped: the object.
        call: what is called in its place.
        again: wraps the object that a bind or a copy makes of it.
    """

    def __init__(self, wrapped: Any, call: Callable[..., Any], again: Callable[[Any], Any]) -> None:
        super().__init__(wrapped)
        self._self_call = call
        self._self_again = again

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the replacement."""
        return self._self_call(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Bind it as a member of a class only where the object itself would be bound."""
        bind = getattr(type(self.__wrapped__), "__get__", None)
        bound = self.__wrapped__ if bind is None else bind(self.__wrapped__, instance, owner)
        if bound is self.__wrapped__:
            return self
        if isinstance(bound, MethodType) and bound.__func__ is self.__wrapped__:
            return MethodType(self, instance)
        return self._self_again(bound) if callable(bound) else bound

    def __copy__(self) -> Any:
        """Return a copy that is called in the same way."""
        return self._self_again(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return a deep copy that is called in the same way."""
        return self._self_again(copy.deepcopy(self.__wrapped__, memo))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the object itself, for other processes."""
        return self.__wrapped__.__reduce_ex__(protocol)
