# `cmake --install`: headers with the include paths they have here, the libraries, and a package to find them by; the
# programs, their configurations and the Python package.
include(CMakePackageConfigHelpers)
set(headers ${CMAKE_INSTALL_INCLUDEDIR}/coarsegrad)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/CoarseGrad)

install(DIRECTORY core nn quant optim datasets DESTINATION ${headers} FILES_MATCHING PATTERN "*.h" PATTERN "*.inc"
        PATTERN simd EXCLUDE PATTERN scalar EXCLUDE PATTERN onnx EXCLUDE)
install(DIRECTORY experiments/support experiments/training DESTINATION ${headers}/experiments
        FILES_MATCHING PATTERN "*.h" PATTERN hdf5_objects.h EXCLUDE)

# An export of its own: what runs a packed model needs neither OpenBLAS nor anything else of the engine.
install(TARGETS coarsegrad_runtime coarsegrad_base coarsegrad_kernels coarsegrad_compute coarsegrad_packed
        EXPORT CoarseGradRuntime)
install(EXPORT CoarseGradRuntime NAMESPACE CoarseGrad:: DESTINATION ${package})
set(libraries coarsegrad coarsegrad_f64 coarsegrad_export)
foreach(name quant_math theory core nn optim quant datasets)
  list(APPEND libraries coarsegrad_${name})
  if(TARGET coarsegrad_${name}_f64)
    list(APPEND libraries coarsegrad_${name}_f64)
  endif()
endforeach()
install(TARGETS ${libraries} EXPORT CoarseGradTargets)
install(EXPORT CoarseGradTargets NAMESPACE CoarseGrad:: DESTINATION ${package})
# A separate export: run log and trainer need HDF5, the engine does not.
install(TARGETS coarsegrad_experiments coarsegrad_training EXPORT CoarseGradExperiments)
install(EXPORT CoarseGradExperiments NAMESPACE CoarseGrad:: DESTINATION ${package})

configure_package_config_file(third_party/CoarseGradConfig.cmake.in CoarseGradConfig.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(CoarseGradConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/CoarseGradConfig.cmake ${PROJECT_BINARY_DIR}/CoarseGradConfigVersion.cmake
        third_party/FindOpenBLAS.cmake third_party/FindHDF5C.cmake DESTINATION ${package})

# Of the programs, those that have been built.
get_property(mains GLOBAL PROPERTY coarsegrad_mains)
install(TARGETS ${mains} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} OPTIONAL)

# share/coarsegrad has the layout of experiments/, so that scripts find the Python package beside them as they do there.
# No folder of the interpreter's is touched: the package is used from its place, or installed from it with pip.
set(share ${CMAKE_INSTALL_DATADIR}/coarsegrad)
install(DIRECTORY experiments/configs DESTINATION ${share} FILES_MATCHING PATTERN "*.json")
install(DIRECTORY experiments/python/coarsegrad DESTINATION ${share}/python
        FILES_MATCHING PATTERN "*.py" PATTERN py.typed PATTERN __pycache__ EXCLUDE)
install(FILES experiments/python/pyproject.toml experiments/python/README.md DESTINATION ${share}/python)
install(PROGRAMS experiments/python/plot DESTINATION ${share}/python)
install(PROGRAMS experiments/tools/torch_file DESTINATION ${share}/tools)
install(PROGRAMS datasets/download DESTINATION ${share}/datasets)
foreach(script python/plot tools/torch_file)
  get_filename_component(name ${script} NAME)
  file(RELATIVE_PATH place /${CMAKE_INSTALL_BINDIR} /${share}/${script})
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/install)
  file(CREATE_LINK ${place} ${PROJECT_BINARY_DIR}/install/${name} SYMBOLIC)
  install(FILES ${PROJECT_BINARY_DIR}/install/${name} DESTINATION ${CMAKE_INSTALL_BINDIR})
endforeach()
