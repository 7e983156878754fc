"""A module of the user's that no workflow is defined in, and that took names before the guard was there."""

from __future__ import annotations

from os import urandom
from random import randint, random
from time import time
from uuid import uuid4


def clock() -> float:
    return time()


def dice() -> int:
    return randint(1, 6)


def chance() -> float:
    return random()


def number() -> object:
    return uuid4()


def noise() -> bytes:
    return urandom(4)
