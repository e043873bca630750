"""The rules for a message, for browsers and the API alike."""

import unicodedata

from flask_wtf import FlaskForm
from wtforms import Field, Form, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError


def strip(value: object) -> object:
    """Drop the blanks around a text."""
    return value.strip() if isinstance(value, str) else value


def storable(form: Form, field: Field) -> None:
    """Refuse what PostgreSQL cannot store (NUL, lone surrogates) and other control characters."""
    if any(c not in "\r\n\t" and unicodedata.category(c) in {"Cc", "Cs"} for c in field.data or ""):
        raise ValidationError("Control characters are not allowed.")


class MessageForm(FlaskForm):
    """One message."""

    author = StringField("Your name", [InputRequired(), Length(1, 80), storable], [strip])
    text = TextAreaField("Your message", [InputRequired(), Length(1, 2000), storable], [strip])
