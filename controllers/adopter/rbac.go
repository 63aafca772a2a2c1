package adopter

// +kubebuilder:rbac:groups=fleet.drover.dev,resources=nodepools,verbs=get;list;watch
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=clusters;clusters/finalizers,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get;list;watch
// +kubebuilder:rbac:groups=fleet.drover.dev,resources=adoptedclusters;adoptedclusters/status;adoptedclusters/finalizers;adoptedcontrolplanes;adoptedcontrolplanes/status;adoptedcontrolplanes/finalizers,verbs=get;list;watch;create;update;patch;delete
