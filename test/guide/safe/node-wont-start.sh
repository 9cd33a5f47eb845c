# In place of "Node won't start after crash": the newest backups that verify, however
# many there are.
sudo systemctl stop ailee-node
./ailee-restore
sudo systemctl start ailee-node
