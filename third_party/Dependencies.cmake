# Every outside library, found here and nowhere else. Reasons and versions: third_party/README.md.
include(GNUInstallDirs)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(OpenBLAS REQUIRED CONFIG)
if(NOT TARGET OpenBLAS::OpenBLAS)  # Debian's config sets variables only
  add_library(OpenBLAS::OpenBLAS INTERFACE IMPORTED)
  set_target_properties(OpenBLAS::OpenBLAS PROPERTIES INTERFACE_LINK_LIBRARIES "${OpenBLAS_LIBRARIES}"
                        INTERFACE_INCLUDE_DIRECTORIES "${OpenBLAS_INCLUDE_DIRS}")
endif()
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(HDF5 REQUIRED COMPONENTS C)
if(COARSEGRAD_TESTS)
  find_package(doctest REQUIRED)
endif()
