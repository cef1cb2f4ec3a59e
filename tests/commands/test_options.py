"""The options of an export on a command line are those of to_hdf5."""

import argparse
from dataclasses import fields

from shmkit.commands.options import add_options, settings_of
from shmkit.hdf5.settings import Settings


def test_a_command_line_has_a_flag_for_each_and_no_defaults_of_its_own():
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS, add_help=False)
    add_options(parser)
    flags = {action.dest for action in parser._actions}  # noqa: SLF001 - argparse tells it nowhere else
    assert flags == {field.name for field in fields(Settings)}
    given = vars(parser.parse_args([]))
    assert given == {}
    assert settings_of(given) == Settings(attrs={})
