@echo off
rem Added by packer-plugin-ec2-sysprep.
reg add HKLM\SOFTWARE\Lab /v First /d yes /f
exit /b 0
