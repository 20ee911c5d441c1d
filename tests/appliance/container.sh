# A machine of its own that boots the real systemd as process 1 with our unit, sandbox and all.
# Its root is an overlay whose changes go with it. Environment: FOLDER (kioskd.toml,
# services.toml, probe.py and out/), TREE, PYTHON (its home), PACKAGES.
set -eu
mount --make-rprivate /
cell=$FOLDER/container
mkdir -p "$cell"
mount -t tmpfs none "$cell"
mkdir "$cell/up" "$cell/work" "$cell/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$cell/up,workdir=$cell/work" "$cell/root"
cd "$cell/root"
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs none run
mount -t tmpfs none sys/fs/cgroup
mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 sys/fs/cgroup/unified

# ProtectHome= hides where Python may be, and a checkout is nobody's but root's.
mkdir -p opt/kioskd/bin opt/python opt/packages opt/tree opt/out run/units/kioskd.service.d run/units/kioskd-screen.service.d
mount --bind "$PYTHON" opt/python
mount --bind "$PACKAGES" opt/packages
mount --bind "$TREE" opt/tree
mount --bind "$FOLDER/out" opt/out
cat >opt/kioskd/bin/python <<'END'
#!/bin/sh
export PYTHONPATH=/opt/tree:/opt/packages LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python3 "$@"
END
printf '#!/bin/sh\nexec /opt/kioskd/bin/python -m kioskd "$@"\n' >opt/kioskd/bin/kioskd
printf '#!/bin/sh\nexec /opt/kioskd/bin/python -m kioskd.screen "$@"\n' >opt/kioskd/bin/kioskd-screen
chmod 755 opt/kioskd/bin/*
mkdir -p etc/kioskd
cp "$FOLDER/kioskd.toml" "$FOLDER/services.toml" etc/kioskd/
cp "$FOLDER/probe.py" opt/
systemd-sysusers --root="$PWD" "$TREE/systemd/kioskd.sysusers"
systemd-tmpfiles --root="$PWD" --create "$TREE/systemd/kioskd.tmpfiles"

# The unit as it is; nothing of Debian's beside it but what it is ordered after.
cp "$TREE"/systemd/*.service run/units/
for one in basic sysinit shutdown umount slices sockets paths timers network; do
    cp "/lib/systemd/system/$one.target" run/units/
done
# There is no display here: the session is left out, and Chromium draws into memory.
printf '[Service]\nStandardOutput=append:/opt/out/screen\nStandardError=inherit\nExecStart=\n%s %s\n' \
    "$(sed -n 's|^ExecStart=/usr/bin/cage -s -- |ExecStart=|;T;s| --ozone-platform=wayland||p' run/units/kioskd-screen.service)" \
    '--headless=new --disable-gpu' >run/units/kioskd-screen.service.d/test.conf
printf '[Unit]\nWants=kioskd-screen.service\n' >run/units/kioskd.service.d/screen.conf
printf '[Service]\nStandardOutput=append:/opt/out/log\nStandardError=inherit\n%s\n' \
    'ExecStartPost=/opt/kioskd/bin/python /opt/probe.py' >run/units/kioskd.service.d/test.conf

mkdir -p old
pivot_root . old
umount -l /old
export container=kioskd SYSTEMD_UNIT_PATH=/run/units
unset FOLDER TREE PYTHON PACKAGES
exec /lib/systemd/systemd --system --unit=kioskd.service --log-target=console --show-status=no
