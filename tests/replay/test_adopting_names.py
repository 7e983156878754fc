"""Where originals are exchanged and where they are left: modules, defaults, closures, classes, models.

In this process, with an original and a stand-in of the test's own. What that means for a workflow body is shown by
``test_adopting.py``, in processes where nothing is guarded yet.
"""

from __future__ import annotations

import datetime
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pydantic
import pytest

from runtime_service.replay import adopting, guard


def guarded() -> str:
    return "guarded"


#: The original is nobody's attribute: this module is a user's too, and would be gone through.
HELD: dict[str, Any] = {"original": lambda: "original"}
TABLE = {id(HELD["original"]): guarded}


@pytest.fixture(autouse=True)
def nothing_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this test goes through does not count as gone through for the real guard."""
    monkeypatch.setattr(adopting, "_adopted", {})
    monkeypatch.setattr(adopting, "_looked_at", {"modules": 0})


def adopted(names: dict[str, Any]) -> dict[str, Any]:
    """Adopt the namespace of a module of its own and return it."""
    names.setdefault("__name__", __name__)
    adopting.adopt(names, TABLE)
    return names


def test_a_name_is_exchanged_and_another_value_is_left() -> None:
    names = adopted({"read": HELD["original"], "guarded": guarded, "number": 7})
    assert names["read"] is guarded
    assert (names["guarded"], names["number"]) == (guarded, 7)


def test_defaults_are_exchanged_in_their_place() -> None:
    def with_default(ask: Any = HELD["original"], other: Any = 7) -> Any:
        return ask(), other

    def with_keyword_default(*, other: Any = 7, ask: Any = HELD["original"]) -> Any:
        return ask(), other

    adopted({"by_position": with_default, "by_keyword": with_keyword_default})
    assert with_default() == ("guarded", 7)
    assert with_keyword_default() == ("guarded", 7)


def test_defaults_without_an_original_stay_the_very_same() -> None:
    def plain(number: Any = 0, nothing: Any = None, *, word: Any = "", false: Any = False) -> Any:
        return number, nothing, word, false

    before = plain.__defaults__
    adopted({"plain": plain})
    assert plain.__defaults__ is before
    assert plain() == (0, None, "", False)


def enclosing(asked: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    def inner() -> Any:
        return asked()

    def unbound() -> Any:
        return later()

    if asked is None:
        later = HELD["original"]
    return inner, unbound


def test_what_a_function_closes_over_is_exchanged_and_an_unbound_name_is_passed_over() -> None:
    inner, unbound = enclosing(HELD["original"])
    adopted({"unbound": unbound, "inner": inner})
    assert inner() == "guarded"
    with pytest.raises(NameError):
        unbound()


def test_what_a_decorated_function_leads_to_is_exchanged() -> None:
    def asks(ask: Any = HELD["original"]) -> Any:
        return ask()

    @functools.wraps(asks)
    def wrapper() -> Any:
        return asks()

    class Definition:
        """Stands for what ``step`` and ``workflow`` make: its ``function`` is the user's."""

        def __init__(self, function: Any) -> None:
            self.function = function

    def body(ask: Any = HELD["original"]) -> Any:
        return ask()

    adopted({"wrapper": wrapper, "definition": Definition(body)})
    assert (wrapper(), body()) == ("guarded", "guarded")


def made_class() -> Any:
    class Clock:
        read = HELD["original"]
        still = staticmethod(HELD["original"])
        number = 7

        def method(self, ask: Any = HELD["original"]) -> Any:
            return ask()

        @staticmethod
        def plain(ask: Any = HELD["original"]) -> Any:
            return ask()

        class Inner:
            read = staticmethod(HELD["original"])

    return Clock


def test_attributes_methods_and_inner_classes_are_exchanged() -> None:
    clock = made_class()
    adopted({"Clock": clock})
    assert vars(clock)["read"] is guarded
    assert isinstance(vars(clock)["still"], staticmethod)
    assert (clock.still(), clock().still(), clock().method(), clock.plain()) == ("guarded",) * 4
    assert (clock.Inner.read(), clock.number) == ("guarded", 7)


def test_what_a_module_imported_is_not_its_own_and_is_left() -> None:
    clock, names = made_class(), {"__name__": "another_module"}
    adopted({**names, "Clock": clock, "by_position": (foreign := function_with_default())})
    assert (clock.still(), foreign()) == ("original", "original")


def test_a_class_of_another_module_inside_a_class_is_left() -> None:
    inner, outer = made_class(), made_class()
    inner.__module__ = "another_module"
    outer.Foreign = inner
    adopted({"Outer": outer})
    assert (outer.still(), inner.still()) == ("guarded", "original")


def function_with_default() -> Any:
    def asks(ask: Any = HELD["original"]) -> Any:
        return ask()

    return asks


def test_the_factory_of_a_models_field_is_exchanged_and_the_other_fields_are_left() -> None:
    class Model(pydantic.BaseModel):
        at: str = pydantic.Field(default_factory=HELD["original"])
        words: list[str] = pydantic.Field(default_factory=list)
        number: int = 7

    validator = Model.__pydantic_validator__
    adopted({"Model": Model})
    assert Model.__pydantic_validator__ is not validator
    assert (Model().at, Model.model_validate({}).at) == ("guarded", "guarded")
    assert Model.model_fields["at"].default_factory is guarded
    assert (Model().words, Model().number) == ([], 7)


def test_a_model_without_an_original_is_not_built_anew() -> None:
    class Plain(pydantic.BaseModel):
        words: list[str] = pydantic.Field(default_factory=list)

    validator = Plain.__pydantic_validator__
    adopted({"Plain": Plain})
    assert Plain.__pydantic_validator__ is validator


def test_what_only_looks_like_a_model_is_left() -> None:
    class Odd:
        __pydantic_fields__ = 7
        read = staticmethod(HELD["original"])

        @classmethod
        def model_rebuild(cls, **_: Any) -> None:
            raise AssertionError("this is no model")

    adopted({"Odd": Odd})
    assert Odd.read() == "guarded"


def test_a_class_method_of_a_type_in_c_is_known_by_its_name() -> None:
    """``date.today`` is another object at each look, so its id says nothing."""
    guard.install()
    unguarded: Any = vars(datetime.date)["today"].__func__.__wrapped__.__get__(None, datetime.date)
    names = adopted({"today": unguarded, "fromkeys": dict.fromkeys, "words": "a b".split})
    assert names["today"] == datetime.date.today
    assert names["today"] != unguarded
    assert (names["fromkeys"], names["words"]()) == (dict.fromkeys, ["a", "b"])


class Counted(dict[str, Any]):
    """A namespace that counts how often it is gone through."""

    walks = 0

    def items(self) -> Any:
        self.walks += 1
        return super().items()


def test_a_namespace_is_gone_through_again_only_when_it_has_grown() -> None:
    names = Counted(__name__=__name__, read=HELD["original"])
    adopted(names)
    adopted(names)
    assert names.walks == 1
    names["later"] = HELD["original"]
    adopted(names)
    assert (names.walks, names["later"]) == (2, guarded)


@pytest.fixture
def module(tmp_path: Path) -> Iterator[ModuleType]:
    """A module of the user's that has taken an original."""
    made: Any = ModuleType("taken_by_a_user")
    made.__file__ = str(tmp_path / "taken_by_a_user.py")
    made.read = HELD["original"]
    yield made
    sys.modules.pop(made.__name__, None)


def test_every_module_of_the_users_is_gone_through_once_it_is_imported(module: Any) -> None:
    adopted({})
    sys.modules[module.__name__] = module
    adopted({})
    assert module.read is guarded


def test_a_module_that_is_not_the_users_is_left(module: Any) -> None:
    module.__file__ = pydantic.__file__
    adopted({})
    sys.modules[module.__name__] = module
    adopted({})
    assert module.read is HELD["original"]


def test_modules_are_not_looked_at_while_none_is_imported(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[object] = []
    sys.modules[module.__name__] = module
    adopted({})
    monkeypatch.setattr(adopting, "is_users_file", lambda file: looked_at.append(file))
    adopted({})
    assert looked_at == []
