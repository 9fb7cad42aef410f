# An app qube forgets what is not in /rw: its key and its releases stay.
/rw/config/qubes-bind-dirs.d/50_rulecast.conf:
  file.managed:
    - makedirs: True
    - mode: '0644'
    - contents: "binds+=( '/var/lib/rulecast' '/etc/rulecast' )"
