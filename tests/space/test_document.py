"""JSON in and out, strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raynas.errors import ArchitectureError, RaynasError, SpaceError
from raynas.space.document import parse_document, write_document

WRONG = {
    "not JSON": ("{", "not JSON"),
    "empty": ("", "not JSON"),
    "two documents": ("{} {}", "not JSON"),
    "single quotes": ("{'a': 1}", "not JSON"),
    "a list": ("[]", "list"),
    "null": ("null", "NoneType"),
    "a number": ("3", "int"),
    "a repeated key": ('{"ä": 1, "b": 2, "ä": 1}', "key 'ä' is repeated"),
    "a repeated key inside": ('{"a": {"_idx": 1, "_idx": 2}}', "key '_idx' is repeated"),
    "NaN": ('{"a": NaN}', "NaN"),
    "infinity": ('{"a": [Infinity]}', "Infinity"),
    "minus infinity": ('{"a": -Infinity}', "-Infinity"),
    "a number of 5,000 digits": ('{"a": ' + "9" * 5_000 + "}", "not JSON"),
    "lists in lists": ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    "objects in objects": ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    "Latin-1": (b'{"\xe4": 1}', "not JSON"),
    "a torn character": ('{"ä": 1}'.encode()[:3], "not JSON"),
    "a BOM in a string": ("\ufeff{}", "not JSON"),
}


@pytest.mark.parametrize("error", [SpaceError, ArchitectureError])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_the_error_asked_for(name: str, error: type[RaynasError]) -> None:
    text, said = WRONG[name]
    with pytest.raises(error) as raised:
        parse_document(text, error)
    assert said in str(raised.value)
    assert type(raised.value) is error


def test_text_and_bytes_are_read_alike() -> None:
    text = ' {"层": [1, 2.5, "ä", null, true]}\n'
    assert parse_document(text, SpaceError) == parse_document(text.encode(), SpaceError) == {"层": [1, 2.5, "ä", None, True]}


def test_keys_keep_their_order_and_letters_stay_themselves() -> None:
    written = write_document({"z": "卷积", "a": ["🔑"]})
    assert written == '{\n "z": "卷积",\n "a": [\n  "🔑"\n ]\n}\n'


def test_what_is_no_json_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_document({"a": float("nan")})


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_a_document_or_the_error(text: str | bytes) -> None:
    try:
        document = parse_document(text, SpaceError)
    except SpaceError:
        return
    assert isinstance(document, dict)
