# `cmake --install`: headers with the include paths they have here, three libraries, and a package to find them by.
include(CMakePackageConfigHelpers)
set(headers ${CMAKE_INSTALL_INCLUDEDIR}/coarsegrad)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/CoarseGrad)

install(DIRECTORY core nn quant optim datasets DESTINATION ${headers} FILES_MATCHING PATTERN "*.h"
        PATTERN simd EXCLUDE PATTERN scalar EXCLUDE)
install(DIRECTORY experiments/support DESTINATION ${headers}/experiments FILES_MATCHING PATTERN "*.h"
        PATTERN hdf5_objects.h EXCLUDE)

install(TARGETS coarsegrad_base coarsegrad coarsegrad_f64 EXPORT CoarseGradTargets)
install(EXPORT CoarseGradTargets NAMESPACE CoarseGrad:: DESTINATION ${package})
# A separate export: flags and run log need HDF5, training does not.
set_target_properties(coarsegrad_experiments PROPERTIES EXPORT_NAME experiments)
install(TARGETS coarsegrad_experiments EXPORT CoarseGradExperiments)
install(EXPORT CoarseGradExperiments NAMESPACE CoarseGrad:: DESTINATION ${package})

configure_package_config_file(third_party/CoarseGradConfig.cmake.in CoarseGradConfig.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(CoarseGradConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/CoarseGradConfig.cmake ${PROJECT_BINARY_DIR}/CoarseGradConfigVersion.cmake
        third_party/FindOpenBLAS.cmake third_party/FindHDF5C.cmake DESTINATION ${package})
