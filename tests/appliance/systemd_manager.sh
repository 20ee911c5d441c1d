# The real systemd as a user's manager, in namespaces of its own: /run is private, and all its
# processes die with this script. Environment: FOLDER (with kioskd.service), RUN (XDG_RUNTIME_DIR).
set -eu
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/systemd/system "$RUN/systemd/user"   # the first: "booted with systemd"
cp "$FOLDER/kioskd.service" "$RUN/systemd/user/"
export XDG_RUNTIME_DIR="$RUN" HOME="$FOLDER"
unset DBUS_SESSION_BUS_ADDRESS
/lib/systemd/systemd --user --log-target=console --unit=kioskd.service   # not as process 1
