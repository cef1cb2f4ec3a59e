"""As _parser, for CPUs with AVX2; not there elsewhere."""

from shmkit.readers.text.parser._parser import code as code
from shmkit.readers.text.parser._parser import count as count
from shmkit.readers.text.parser._parser import ends as ends
from shmkit.readers.text.parser._parser import infer as infer
from shmkit.readers.text.parser._parser import parse as parse
from shmkit.readers.text.parser._parser import parse_columns as parse_columns
from shmkit.readers.text.parser._parser import split as split
from shmkit.readers.text.parser._parser import widths as widths
