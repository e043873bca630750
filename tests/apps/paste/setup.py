from setuptools import find_packages, setup

setup(
    name="paste-app",
    version="1.0",
    packages=find_packages(),
    include_package_data=True,
    install_requires=["flask>=2.3,<4", "redis", "rq>=1.16,<3", "waitress>=2.1"],
)
