# How a folder becomes a library, and a file a program. Every folder has a CMakeLists.txt that says which of these it is
# and what it stands on.

# Half of a compilation is the standard library's headers. ccache does not need them parsed in advance; clang takes no
# such header under other definitions.
set(precompile OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(precompile ON)
endif()
option(COARSEGRAD_PRECOMPILE "Parse the standard library's headers once for all libraries, mains and tests" ${precompile})
# coarsegrad_precompile(TARGET GROUP [header...]): the first target of a group, all of equal flags, parses for the others.
function(coarsegrad_precompile target group)
  get_property(first GLOBAL PROPERTY precompiled_${group})
  if(NOT COARSEGRAD_PRECOMPILE)
    return()
  elseif(first)
    target_precompile_headers(${target} REUSE_FROM ${first})
  else()
    target_precompile_headers(${target} PRIVATE <algorithm> <array> <cmath> <cstdint> <filesystem> <fstream> <functional>
                              <limits> <map> <memory> <optional> <random> <span> <sstream> <string> <utility> <vector>
                              ${ARGN})
    set_property(GLOBAL PROPERTY precompiled_${group} ${target})
  endif()
endfunction()

# coarsegrad_library(NAME [SOURCES file...] [ON target...] [WITH target...]) makes coarsegrad_NAME, CoarseGrad::NAME, of
# all sources of the folder (or of those named). ON: what its headers include; WITH: libraries from outside that its
# sources alone need.
function(coarsegrad_library name)
  cmake_parse_arguments(L "" "" "SOURCES;ON;WITH" ${ARGN})
  if(NOT L_SOURCES)
    file(GLOB L_SOURCES CONFIGURE_DEPENDS *.cpp)
  endif()
  set(target coarsegrad_${name})
  add_library(${target} STATIC ${L_SOURCES})
  add_library(CoarseGrad::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/coarsegrad>)
  target_link_libraries(${target} PUBLIC ${L_ON} PRIVATE $<BUILD_INTERFACE:coarsegrad_options> ${L_WITH})
  coarsegrad_precompile(${target} libraries)
endfunction()

# coarsegrad_real_library(NAME [SOURCES file...] [ON name...] [WITH target...]) makes two of the same sources: NAME with
# Real = float, NAME_f64 with Real = double. ON: names of such pairs, or targets that know no Real.
function(coarsegrad_real_library name)
  cmake_parse_arguments(L "" "" "SOURCES;ON;WITH" ${ARGN})
  foreach(real "" _f64)
    set(on "")
    foreach(below ${L_ON})
      if(TARGET coarsegrad_${below}_f64)
        list(APPEND on coarsegrad_${below}${real})
      else()
        list(APPEND on coarsegrad_${below})
      endif()
    endforeach()
    coarsegrad_library(${name}${real} SOURCES ${L_SOURCES} ON ${on} WITH ${L_WITH})
  endforeach()
endfunction()

# coarsegrad_main(FILE.cpp...) makes a program of the name of the first file. The global property coarsegrad_mains lists
# them all.
function(coarsegrad_main main)
  get_filename_component(name ${main} NAME_WE)
  add_executable(${name} ${main} ${ARGN})
  target_link_libraries(${name} PRIVATE coarsegrad_options coarsegrad_training)
  coarsegrad_precompile(${name} mains)
  set_property(GLOBAL APPEND PROPERTY coarsegrad_mains ${name})
endfunction()
