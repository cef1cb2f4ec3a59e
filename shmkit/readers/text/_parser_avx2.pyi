"""As _parser, for CPUs with AVX2; not there elsewhere."""

from shmkit.readers.text._parser import code as code
from shmkit.readers.text._parser import ends as ends
from shmkit.readers.text._parser import parse as parse
