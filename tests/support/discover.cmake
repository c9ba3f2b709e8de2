# Script: writes a ctest file (OUT) with one test for each doctest case of EXECUTABLE, labelled with its test suite.
# (doctest's own script looks suites up by test name and finds none for a name with a comma.)
execute_process(COMMAND ${EXECUTABLE} --reporters=xml --list-test-cases OUTPUT_VARIABLE listing
                COMMAND_ERROR_IS_FATAL ANY)
# Names come as XML; a quotation mark in one is asked for with doctest's wildcard.
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
  string(REPLACE "," "\\," filter "${name}")
  string(APPEND script "add_test([==[${name}]==] [==[${EXECUTABLE}]==] [==[--test-case=${filter}]==])\n"
                       "set_tests_properties([==[${name}]==] PROPERTIES LABELS [==[${suite}]==])\n")
endforeach()
file(WRITE ${OUT} "${script}")
