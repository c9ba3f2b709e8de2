# Script: writes a ctest file (OUT) with one test for each doctest case of EXECUTABLE (run by EMULATOR where it is
# compiled for another processor), labelled with LABELS and with its test suite.
# (doctest's own script looks suites up by test name and finds none for a name with a comma.)
execute_process(COMMAND ${EMULATOR} ${EXECUTABLE} --reporters=xml --list-test-cases OUTPUT_VARIABLE listing
                COMMAND_ERROR_IS_FATAL ANY)
# Names come as XML; what CMake's lists cannot hold in one, and a quotation mark, is asked for with doctest's wildcard.
string(REGEX REPLACE "[][;]" "?" listing "${listing}")
string(REPLACE "&lt;" "<" listing "${listing}")
string(REPLACE "&gt;" ">" listing "${listing}")
string(REPLACE "&quot;" "?" listing "${listing}")
string(REPLACE "&apos;" "'" listing "${listing}")
string(REPLACE "&amp;" "&" listing "${listing}")
string(REGEX MATCHALL "<TestCase name=\"[^\"]*\"( testsuite=\"[^\"]*\")?" cases "${listing}")
set(script "")
foreach(case IN LISTS cases)
  string(REGEX MATCH "name=\"([^\"]*)\"( testsuite=\"([^\"]*)\")?" _ "${case}")
  set(name "${CMAKE_MATCH_1}")
  set(suite "${CMAKE_MATCH_3}")
  if(name STREQUAL "")
    message(FATAL_ERROR "${EXECUTABLE}: a test case without a name, which would run all of them: ${case}")
  endif()
  string(REPLACE "," "\\," filter "${name}")
  string(APPEND script "add_test([==[${name}]==] ${EMULATOR} [==[${EXECUTABLE}]==] [==[--test-case=${filter}]==])\n"
                       "set_tests_properties([==[${name}]==] PROPERTIES LABELS [==[${LABELS};${suite}]==])\n")
endforeach()
file(WRITE ${OUT} "${script}")
