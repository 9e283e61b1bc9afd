#!/bin/sh
# The steps of the container image, for kubeflow/Dockerfile and, where there is no container engine,
# for `make image-root`, which builds them into a folder:
#
#   kubeflow/build_image.sh dependencies|product|user|stand_in ROOT
#
# Run from the root of the project, with uv and Python 3.10 on the PATH.
set -eu

UV=${UV:-uv}
PYTHON=${PYTHON:-python3.10}
USER_ID=65532
HOME_OF_VENV=/opt/hub-tfx
CACHE=/var/cache/hub-tfx
TFX_WRITES="/mlpipeline-ui-metadata.json"

# The locked packages, each checked by its hash, in a virtual environment with compiled bytecode.
# Source distributions among them are compiled here; the compiler stays in this stage.
dependencies() {
	"$UV" venv --quiet --relocatable --python "$PYTHON" "$1$HOME_OF_VENV"
	UV_COMPILE_BYTECODE=1 "$UV" pip sync --quiet --python "$1$HOME_OF_VENV/bin/python" --require-hashes \
		--build-constraints build-constraints.txt requirements-image.lock
}

# The wheel of this tree, which is all that changes between two images of one lock.
product() {
	"$UV" build --quiet --wheel --build-constraints build-constraints.txt --python "$PYTHON" \
		--out-dir "$1/wheel" .
	UV_COMPILE_BYTECODE=1 "$UV" pip install --quiet --python "$1$HOME_OF_VENV/bin/python" --no-deps \
		--no-index "$1"/wheel/*.whl
	rm -rf "$1/wheel" build "$1$HOME_OF_VENV/.lock" # The lock is uv's, and anyone's to write.
}

# What the user of the image may write to: the module cache, and a file that TFX writes after each
# step of Kubeflow Pipelines, at this place.
user() {
	mkdir -p "$1$CACHE"
	: >"$1$TFX_WRITES"
	chown "$USER_ID:$USER_ID" "$1$CACHE" "$1$TFX_WRITES"
}

# What the base image has: this machine's Python without its packages, the libraries that it needs,
# a shell, and nothing else. Only for a folder; the Dockerfile has a base image.
stand_in() {
	base=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')
	mkdir -p "$1/usr/local/bin" "$1/usr/local/lib" "$1/bin" "$1/lib" "$1/lib64" "$1/tmp" "$1/dev" "$1/proc" "$1/etc" "$1/mnt"
	ln -sfn /lib "$1/usr/lib"
	cp -a "$base/bin/python3.10" "$1/usr/local/bin/"
	cp -a "$base/lib/python3.10" "$1/usr/local/lib/"
	for library in "$base"/lib/libpython3.10.so*; do
		if [ -e "$library" ]; then cp -a "$library" "$1/lib/"; fi
	done
	rm -rf "$1/usr/local/lib/python3.10/test" "$1"/usr/local/lib/python3.10/config-* \
		"$1"/usr/local/lib/python3.10/site-packages/* "$1"/usr/local/lib/python3.10/lib-dynload/_tkinter*
	for program in sh dirname realpath; do cp -L "$(command -v $program)" "$1/bin/"; done
	libraries "$1" | while read -r library; do
		mkdir -p "$1$(dirname "$library")"
		cp -L "$library" "$1$library"
	done
	# The environment was made for a Python outside of the folder.
	ln -sfn ../../../usr/local/bin/python3.10 "$1$HOME_OF_VENV/bin/python"
	sed -i 's|^home = .*|home = /usr/local/bin|' "$1$HOME_OF_VENV/pyvenv.cfg"
	chown -R -h 0:0 "$1/usr" "$1/bin"
	chmod 1777 "$1/tmp"
}

# Paths of the shared libraries of the stand-in's programs, and of those that wheels for manylinux
# may take for granted.
libraries() {
	{
		find "$1/bin" "$1/usr/local/bin" "$1/usr/local/lib/python3.10/lib-dynload" -type f -exec ldd {} + \
			| grep -oE '/[^ ]+ \(' | tr -d ' ('
		for name in libstdc++.so.6 libgcc_s.so.1 libdl.so.2 librt.so.1 libpthread.so.0 libutil.so.1 \
			libresolv.so.2 libz.so.1; do
			ldconfig -p | awk -v name="$name" '$1 == name && /64/ { print $NF; exit }'
		done
	} | grep -v libpython | sort -u
}

case ${1:-} in
dependencies | product | user | stand_in) "$1" "${2%/}" ;;
*)
	sed -n '2,6p' "$0" >&2
	exit 2
	;;
esac
