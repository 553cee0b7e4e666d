// Larder gives this stage a Docker engine that remembers. Trouble with it never fails the build.
pipeline {
    // A machine with Docker's packages, whose user may use sudo.
    agent any
    stages {
        stage('image') {
@variables@
            environment {
                LARDER_STORE = '@STORE@'
                @CREDENTIALS@
            }
@end@
            steps {
@before@
                sh 'curl -fsSL @INSTALLER@ | sudo -E sh'
@build@
                sh 'sudo -E env "PATH=$PATH" larder run -- @BUILD@'
@end@
            }
        }
    }
}
