# OpenBLAS::OpenBLAS, a build without threads of its own (README.md says why): Debian's openblas-serial, whichever other
# builds are installed, and whichever of them the alternatives prefer. Its folder becomes part of a program's path of
# libraries. Debian's own configuration file defines no target.
function(OpenBLAS_without_threads result library)  # libopenblasp and libopenblaso have them
  file(REAL_PATH ${library} library)
  get_filename_component(name ${library} NAME)
  if(name MATCHES "^libopenblas[po]")
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()
find_path(OpenBLAS_SERIAL_INCLUDE_DIR cblas.h PATH_SUFFIXES openblas-serial openblas)
find_library(OpenBLAS_SERIAL_LIBRARY openblas PATH_SUFFIXES openblas-serial VALIDATOR OpenBLAS_without_threads)
mark_as_advanced(OpenBLAS_SERIAL_INCLUDE_DIR OpenBLAS_SERIAL_LIBRARY)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenBLAS REQUIRED_VARS OpenBLAS_SERIAL_LIBRARY OpenBLAS_SERIAL_INCLUDE_DIR
                                  REASON_FAILURE_MESSAGE "Debian: libopenblas-serial-dev (a build with threads is not taken)")
if(OpenBLAS_FOUND AND NOT TARGET OpenBLAS::OpenBLAS)
  add_library(OpenBLAS::OpenBLAS UNKNOWN IMPORTED)
  set_target_properties(OpenBLAS::OpenBLAS PROPERTIES IMPORTED_LOCATION ${OpenBLAS_SERIAL_LIBRARY}
                        INTERFACE_INCLUDE_DIRECTORIES ${OpenBLAS_SERIAL_INCLUDE_DIR})
endif()
