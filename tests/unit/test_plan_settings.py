"""Which settings a plan finds that the server lacks."""

from __future__ import annotations

import pytest

from windlass.plan.settings import DEFAULT, EXAMPLE, OPTIONAL, REQUIRED, lacking
from windlass.plan.sources import Code


def kinds(text: str, *there: str, example: str = "", **more: str) -> dict[str, str]:
    """Return the kind of each lacking setting by name."""
    files = {"app.py": text} | {f"{name}.py": code for name, code in more.items()}
    code = Code(python=files, examples={".env.example": example} if example else {})
    return {item.name: item.kind for item in lacking(code, there)}


READS = {
    "import os\nx = os.environ['X']": REQUIRED,
    "from os import environ\nx = environ['X']": REQUIRED,
    "import os as o\nx = o.environ['X']": REQUIRED,
    "import os\nx = os.environ.get('X')": OPTIONAL,
    "import os\nx = os.environ.get('X', None)": OPTIONAL,
    "import os\nx = os.getenv('X')": OPTIONAL,
    "from os import getenv as g\nx = g('X')": OPTIONAL,
    "import os\nx = os.environ.get('X', '1')": DEFAULT,
    "import os\nx = os.getenv('X', default='1')": DEFAULT,
    "import os\nx = os.environ.get('X') or 'sqlite://'": DEFAULT,
    "import os\nx = 'X' in os.environ and os.environ['X']": REQUIRED,
    "import os\ntry:\n    x = os.environ['X']\nexcept KeyError:\n    x = 1": DEFAULT,
    "import os\ntry:\n    x = os.environ['X']\nexcept KeyError:\n    raise SystemExit": REQUIRED,
    "from environs import Env\nenv = Env()\nx = env('X')": REQUIRED,
    "from environs import Env\nenv = Env()\nx = env.int('X', 3)": DEFAULT,
    "from environs import env\nx = env.str('X')": REQUIRED,
    "import environ\nenv = environ.Env()\nx = env.bool('X', default=False)": DEFAULT,
    "import environ\nenv = environ.Env(X=(bool, False))\nx = env('X')": DEFAULT,
    "from decouple import config\nx = config('X', cast=int)": REQUIRED,
    "from decouple import config as c\nx = c('X', default=1)": DEFAULT,
    "from starlette.config import Config\nconfig = Config('.env')\nx = config('X')": REQUIRED,
    "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    x: str": REQUIRED,
    "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    x: int = 1": DEFAULT,
    "from pydantic import Field\nclass S(BaseSettings):\n    y: str = Field(validation_alias='X')": REQUIRED,
    "class S(BaseSettings):\n    x: str = Field(..., min_length=3)": REQUIRED,
}


@pytest.mark.parametrize(("text", "kind"), READS.items())
def test_a_read_is_told_by_what_happens_without_the_setting(text: str, kind: str):
    assert kinds(text) == {"X": kind}


def test_names_that_are_no_settings_are_left_alone():
    assert kinds("config = {}\nx = config['X']\ny = config.get('Y')\nenviron = {}\nz = environ['Z']") == {}


def test_a_library_of_the_same_name_is_not_taken_for_another():
    assert kinds("from myproject import config\nx = config('X')") == {}


def test_an_env_object_that_another_file_imports():
    assert kinds("from base import env\nx = env('X')", base="import environ\nenv = environ.Env()") == {"X": REQUIRED}


def test_names_without_a_first_argument_and_with_a_prefix():
    text = "from environs import Env\nenv = Env()\nwith env.prefixed('MAIL_'):\n    x = env('HOST')\n"
    text += "y = env.dj_db_url('DB')"
    assert kinds(text) == {"MAIL_HOST": REQUIRED, "DB": REQUIRED}
    assert kinds("import environ\nenv = environ.Env()\nx = env.db()") == {"DATABASE_URL": REQUIRED}


def test_a_pydantic_prefix():
    text = "class S(BaseSettings):\n    model_config = SettingsConfigDict(env_prefix='app_')\n    host: str"
    assert kinds(text) == {"APP_HOST": REQUIRED}


def test_what_the_server_has_is_not_missing():
    assert kinds("import os\nx = os.environ['X']\ny = os.environ['Y']", "Y") == {"X": REQUIRED}


def test_what_the_code_sets_itself_is_not_missing():
    assert kinds("import os\nos.environ.setdefault('X', '1')\nx = os.environ['X']") == {"X": DEFAULT}


def test_an_example_file_names_settings_too():
    text = "# comment\nSECRET=change-me\nexport OTHER = 1\n#OFF=1\nPORT=80\n"
    assert kinds("import os\np = os.environ.get('PORT', 80)", example=text) == {
        "SECRET": EXAMPLE,
        "OTHER": EXAMPLE,
        "PORT": DEFAULT,
    }


def test_the_needed_ones_come_first_with_the_places_that_read_them():
    text = "import os\na = os.getenv('A', 1)\nz = os.environ['Z']\nb = os.getenv('Z')"
    found = lacking(Code(python={"config.py": text}), [])
    assert [item.name for item in found] == ["Z", "A"]
    assert found[0].places == ["config.py:3", "config.py:4"]
