//! Between burn's host data and ours.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, TensorData};
use loupe_model::ops::mask::Mask;
use loupe_model::{Value, burn_dtype};
use loupe_spec::{Dtype, HostTensor, Kind, Probe, Values};
use loupe_tensor::Tensor;

/// Our values as burn's, without a copy.
pub fn to_data(tensor: HostTensor) -> TensorData {
    let shape = tensor.shape;
    match tensor.values {
        Values::F64(v) => TensorData::new(v, shape),
        Values::F32(v) => TensorData::new(v, shape),
        Values::F16(v) => TensorData::new(v, shape),
        Values::Bf16(v) => TensorData::new(v, shape),
        Values::I64(v) => TensorData::new(v, shape),
        Values::U8(v) => TensorData::new(v, shape),
    }
}

/// A tensor on the device, of `dtype`.
pub fn upload<B: Backend, const D: usize>(tensor: HostTensor, dtype: Dtype, device: &B::Device) -> Tensor<B, D> {
    let tensor = if tensor.values.dtype() == dtype {
        tensor
    } else {
        HostTensor { values: tensor.values.to_dtype(dtype), ..tensor }
    };
    Tensor::from_data(to_data(tensor), device, burn_dtype(dtype))
}

/// A tensor read back from the device, in the dtype it has there.
pub fn download<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> HostTensor {
    let data = tensor.into_data();
    let dtype = match data.dtype {
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::Bf16,
        _ => Dtype::F32,
    };
    HostTensor { shape: data.shape.to_vec(), values: Values::from_le_bytes(dtype, data.as_bytes()) }
}

/// A probe's value, read back.
pub fn from_value<B: Backend>(value: &Value<B>) -> HostTensor {
    match value {
        Value::Ids(ids) => {
            HostTensor { shape: vec![ids.len()], values: Values::I64(ids.iter().map(|id| *id as i64).collect()) }
        }
        Value::Mask(mask) => HostTensor {
            shape: vec![mask.queries, mask.keys],
            values: Values::U8(mask.visible.iter().map(|seen| u8::from(*seen)).collect()),
        },
        Value::Rank2(x) => download(x.clone()),
        Value::Rank3(x) => download(x.clone()),
    }
}

/// A recorded value, put on the device. `None` where its rank is not the probe's.
pub fn to_value<B: Backend>(probe: Probe, tensor: &HostTensor, dtype: Dtype, device: &B::Device) -> Option<Value<B>> {
    Some(match (probe.kind(), tensor.shape.as_slice()) {
        (Kind::TokenIds, [_]) => Value::Ids(tensor.values.to_f64().into_iter().map(|id| id as usize).collect()),
        (Kind::Mask, [queries, keys]) => Value::Mask(Mask {
            queries: *queries,
            keys: *keys,
            visible: tensor.values.to_f64().into_iter().map(|seen| seen != 0.0).collect(),
        }),
        (_, [_, _]) => upload::<B, 2>(tensor.clone(), dtype, device).into(),
        (_, [_, _, _]) => upload::<B, 3>(tensor.clone(), dtype, device).into(),
        _ => return None,
    })
}
