// The module once more, for CPUs with the AVX-512 of Ice Lake (2019), Zen 4 (2022) or later, which
// reads eight numbers at once; it refuses to be imported elsewhere. The AVX-512 of older CPUs is
// left alone: it slows their clock. As FMA comes with it, setup.py forbids its use.

#define PARSER_AVX512
#include "_parser.cpp"
