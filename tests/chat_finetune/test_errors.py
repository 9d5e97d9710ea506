"""Errors cross processes, and every one says what to do."""

import pickle

import pytest

from chat_finetune import errors

FAMILY = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.ChatFinetuneError)
]


@pytest.mark.parametrize("kind", FAMILY)
def test_an_error_survives_pickling_with_its_remedy(kind: type[errors.ChatFinetuneError]):
    back = pickle.loads(pickle.dumps(kind("what is wrong", "what to do")))
    assert (type(back), back.message, back.remedy) == (kind, "what is wrong", "what to do")
    assert str(back) == "what is wrong → what to do"


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_either_worth_another_try_or_not(kind: type[errors.ChatFinetuneError]):
    if kind is not errors.ChatFinetuneError:
        assert issubclass(kind, errors.TransientError) != issubclass(kind, errors.PermanentError)


@pytest.mark.parametrize("kind", FAMILY)
def test_the_tree_in_the_module_is_whole(kind: type[errors.ChatFinetuneError]):
    assert kind.__name__ in (errors.__doc__ or "")
