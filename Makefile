# Short names for what CMake does; `make help` lists them. Builds lie in build/PRESET.
.DEFAULT_GOAL := release
PRESETS := release debug asan tsan double clang
SOURCES = $(wildcard include/*.h src/*/*.[ch] src/*/*.inc cli/*.[ch] examples/*.c tests/*/*.[ch] bench/*.c)
.PHONY: help demo check test lint fuzz bench format install clean $(PRESETS)

help:
	@echo "make            builds build/release/likely"
	@echo "make demo       installs what is missing, builds, and shows the main job"
	@echo "make check      installs what is missing, builds, and runs every test"
	@echo "make test       runs the quick tests of the release build"
	@echo "make lint       runs clang-tidy, cppcheck and the checks of the tree"
	@echo "make fuzz       runs libFuzzer on each format for FUZZ_SECONDS=60"
	@echo "make bench      measures everything beside its peers; bench/run takes names of sections"
	@echo "make format     lays out the sources by .clang-format"
	@echo "make install    installs the release build (PREFIX=/usr/local, DESTDIR)"
	@echo "make clean      removes build/"
	@echo "make PRESET     builds one of: $(PRESETS)"

$(PRESETS):
	@test -f build/$@/build.ninja || cmake --preset $@
	@cmake --build --preset $@

demo:
	@scripts/setup demo
	@$(MAKE) --no-print-directory release
	@scripts/demo

check:
	@scripts/check

test: release
	@ctest --preset release -j2 -LE house

lint: release
	@ctest --preset release -j2 -L lint

fuzz:
	@scripts/fuzz

bench:
	@bench/run

format:
	clang-format -i $(SOURCES)

PREFIX ?= /usr/local
install: release
	DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

clean:
	rm -rf build
