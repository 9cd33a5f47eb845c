# In place of Procedure 4: the time is asked for once, and nothing is deleted.
sudo systemctl stop ailee-node
kept=/var/lib/ailee/recovery_$(date +%s)
mkdir "$kept" &&
mv /var/lib/ailee/l2_snapshots.dat /var/lib/ailee/reorg_db "$kept"
./ailee_init_node --data-dir /var/lib/ailee
sudo systemctl start ailee-node
./ailee_create_anchor --l2-state-file /tmp/current_state.json
