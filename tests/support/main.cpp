// doctest's main(). Tests run beside each other, on more threads than there are processors.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "core/base/short_waits.h"
