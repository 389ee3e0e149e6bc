"""Arithmetic on bands, such as ``(nir - red) / (nir + red)``, parsed without running any code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopointseg.errors import ConfigError, nearest_names
from geopointseg.summary import described

_LONGEST = 10_000
"""Largest number of characters of a formula; Python's parser takes much memory for long ones."""
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.abs, 1),
    "exp": (np.exp, 1),
    "log": (np.log, 1),
    "log10": (np.log10, 1),
    "sqrt": (np.sqrt, 1),
    "sign": (np.sign, 1),
    "maximum": (np.maximum, 2),
    "minimum": (np.minimum, 2),
}


@described
@dataclass(frozen=True)
class Expression:
    """A formula over named bands; use `Expression.parse` to make one.

    Only numbers, names, ``+ - * / **`` and a few functions (abs, exp, log, log10, sqrt, sign, maximum, minimum) are
    understood; nothing else of Python is, so a settings file from a stranger cannot run code.

    Parameters
    ----------
    text
        The formula as it was written.
    names
        The band names in it, in order of first use.

    Examples
    --------
    >>> ndvi = Expression.parse("(nir - red) / (nir + red)")
    >>> ndvi.names
    ('nir', 'red')
    >>> ndvi.evaluate({"nir": np.float32([3, 0]), "red": np.float32([1, 0])})
    array([0.5, 0. ], dtype=float32)
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Parse a formula.

        Raises
        ------
        ConfigError
            If it is not a formula, or uses something other than arithmetic on bands.
        """
        try:
            tree = ast.parse(text.strip() if len(text) <= _LONGEST else "", mode="eval").body
            names = dict.fromkeys(_collect_names(tree, text))
        except (ArithmeticError, MemoryError, RecursionError, SyntaxError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"'{text[:200]}' is not a formula. Expected arithmetic on band names, such as "
                "(nir - red) / (nir + red)."
            ) from error
        if not names:
            raise ConfigError(f"'{text}' names no band. Expected a formula such as nir / red.")
        return cls(text.strip(), tuple(names), tree)

    def evaluate(self, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the formula's value, float32 of the bands' shape; zero where it has none (0 / 0, log of 0)."""
        with np.errstate(all="ignore"):
            value = np.asarray(_evaluate(self._tree, bands), dtype=np.float32)
        return np.nan_to_num(value, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

    def __reduce__(self) -> tuple[Callable[[str], Expression], tuple[str]]:
        return Expression.parse, (self.text,)


def _collect_names(node: ast.expr, text: str) -> list[str]:
    match node:
        case ast.Name(id=name):
            return [name.lower()]
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value):
            float(value)  # an integer may be too large
            return []
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            return _collect_names(operand, text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _collect_names(left, text) + _collect_names(right, text)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            _check_call(name, len(args), text)
            return [found for argument in args for found in _collect_names(argument, text)]
        case _:
            pass
    raise ConfigError(
        f"'{ast.unparse(node)}' in the formula '{text}' is not arithmetic on bands. Expected numbers, band names, "
        f"+ - * / **, parentheses and {', '.join(_FUNCTIONS)}."
    )


def _check_call(name: str, arguments: int, text: str) -> None:
    if name not in _FUNCTIONS:
        raise ConfigError(
            f"There is no function '{name}' for the formula '{text}'. {nearest_names(name, _FUNCTIONS)}"
        )
    if arguments != _FUNCTIONS[name][1]:
        raise ConfigError(
            f"'{name}' in the formula '{text}' has {arguments} arguments. Expected {_FUNCTIONS[name][1]}."
        )


def _evaluate(node: ast.expr, bands: Mapping[str, NDArray[np.float32]]) -> Any:
    match node:
        case ast.Name(id=name):
            return bands[name.lower()]
        case ast.Constant(value=value):
            return np.float32(value)  # type: ignore[arg-type]
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_evaluate(operand, bands))
        case ast.BinOp(left=left, op=operation, right=right):
            return _BINARY[type(operation)](_evaluate(left, bands), _evaluate(right, bands))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _FUNCTIONS[name][0](*(_evaluate(argument, bands) for argument in args))
    raise AssertionError(ast.dump(node))
