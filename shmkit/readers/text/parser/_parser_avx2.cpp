// The module once more, for CPUs with AVX2: it is a fifth faster there, and refuses to be imported
// elsewhere. setup.py says which instructions it has; FMA is none of them, as it rounds once where
// np.loadtxt rounds twice.

#define PARSER_AVX2
#include "_parser.cpp"
